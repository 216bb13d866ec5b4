// Answers every message with the message, its output being the reply. In AssemblyScript.
import { input, output } from "../sdk/assemblyscript/cofferdam";

export function handle_message(): void {
  output(input());
}

/** The same for the host: `execute(id, "echo", bytes)`. */
export function echo(): void {
  output(input());
}
