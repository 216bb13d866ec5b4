//! From deployment to removal.

use cofferdam::agent::{
    AgentConfig, AgentName, DeployError, ExecuteError, MaxAgents, Runtime, SendError, StartError, State, StopError,
};
use cofferdam::audit::EventKind;
use std::time::Duration;

use crate::{PUPPET, hand, name, soon, to, worlds};

#[tokio::test]
async fn from_deployment_to_removal() {
    for world in worlds() {
        let runtime = &world.runtime;
        let id = world.deploy("a", world.config()).await;
        assert_eq!(runtime.state(id), Ok(State::Loaded));
        assert!(matches!(runtime.execute(id, "nothing", b"").await, Err(ExecuteError::NotRunning(State::Loaded))));
        runtime.start(id).await.expect("it starts");
        assert!(matches!(runtime.start(id).await, Err(StartError::Illegal(_))));
        let b = world.puppet("b", world.config()).await;

        assert_eq!(world.number(id, "send", &hand("b", b"hello")).await, 1);
        assert_eq!(world.heard_lines(b, 1).await, ["0hello"]);
        let reply = soon(runtime.request(&to("b"), b"echo this", Duration::from_secs(10))).await;
        assert_eq!(reply.as_deref(), Ok(&b"echo this"[..]));
        assert!(runtime.memory_usage(id).expect("it is there").get() > 0);

        let drained = soon(runtime.stop(id)).await.expect("it runs");
        assert_eq!((drained.dropped, drained.failed), (0, None));
        assert_eq!(runtime.state(id), Ok(State::Stopped));
        assert_eq!(runtime.memory_usage(id).expect("it is there").get(), 0);
        assert!(matches!(runtime.stop(id).await, Err(StopError::Illegal(_))));
        assert!(matches!(runtime.send(&to("a"), b"x").await, Err(SendError::NotRunning { state: State::Stopped, .. })));
        runtime.remove(id).await.expect("it is there");
        assert!(runtime.remove(id).await.is_err() && runtime.state(id).is_err());
        assert!(matches!(runtime.send(&to("a"), b"x").await, Err(SendError::Unknown(_))));
        runtime.remove(b).await.expect("it is there");
        assert_eq!((runtime.held(), runtime.resources().reserved_memory().get()), ((0, 0), 0));
        assert!(world.audit.events().iter().any(|event| event.kind == EventKind::Removed));
    }
}
