// The other one of the pair: sends each ball back. In AssemblyScript.
import { Kind, Level, input, log, messageFrom, messageKind, reply } from "../sdk/assemblyscript/cofferdam";

let balls: u32 = 0;

export function handle_message(): i32 {
  if (messageKind() != Kind.MESSAGE) return 0;
  balls += 1;
  log(Level.DEBUG, "ball " + balls.toString() + " from " + messageFrom());
  return reply(input());
}

export function played(): u32 {
  return balls;
}
