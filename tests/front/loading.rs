//! Loading from an async program: compilation blocks nobody. With an engine whose compiler waits until the
//! test lets it go on.

use std::sync::Arc;
use std::time::Duration;

use cofferdam::policy::SecurityPolicy;
use cofferdam::sandbox::{LoadError, ResourceConfig, Resources};
use cofferdam::{Engine, EngineDescriptor, Sandbox, engines};
use cofferdam_engine::{
    CompileError, CompiledModule, EngineFault, HostState, PreparedModule, Store, StoreLimits, VerifiedArtefact,
};
use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// Compiles nothing before it is told to. Modules with a function called `quick` it compiles at once.
struct Slow {
    inner: Arc<dyn Engine>,
    begun: UnboundedSender<()>,
    go: Mutex<std::sync::mpsc::Receiver<()>>,
}

impl Engine for Slow {
    fn descriptor(&self) -> &EngineDescriptor {
        self.inner.descriptor()
    }

    fn settings(&self) -> String {
        self.inner.settings()
    }

    fn compile(&self, module: &PreparedModule) -> Result<Arc<dyn CompiledModule>, CompileError> {
        if module.export("quick").is_none() {
            self.begun.send(()).expect("the test waits for it");
            let told = self.go.lock().recv_timeout(Duration::from_secs(60));
            told.map_err(|_| EngineFault::new("waiting for the test", "it never came"))?;
        }
        self.inner.compile(module)
    }

    fn load(
        &self,
        module: &PreparedModule,
        artefact: &VerifiedArtefact,
    ) -> Result<Arc<dyn CompiledModule>, cofferdam_engine::LoadError> {
        self.inner.load(module, artefact)
    }

    fn store(&self, limits: &StoreLimits, state: HostState) -> Result<Box<dyn Store>, EngineFault> {
        self.inner.store(limits, state)
    }
}

#[tokio::test]
async fn compiling_blocks_neither_the_executor_nor_what_is_compiled_already() {
    let (begun, mut has_begun) = unbounded_channel();
    let (go, wait) = std::sync::mpsc::channel();
    let inner = engines::by_name("auto").expect("there is one");
    let engine = Arc::new(Slow { inner, begun, go: Mutex::new(wait) });
    let config = ResourceConfig { run_permits: 1, ..ResourceConfig::default() };
    let sandbox = Sandbox::builder(engine)
        .policy(SecurityPolicy::standard())
        .resources(Resources::new(&config))
        .build()
        .expect("it can be enforced");

    let quick = r#"(module (func (export "quick")))"#;
    sandbox.load_async(quick).await.expect("it is good");
    let slow = |sandbox: &Sandbox, name: &str| {
        let (sandbox, text) = (sandbox.clone(), format!(r#"(module (func (export "{name}")))"#));
        tokio::spawn(async move { sandbox.load_async(text).await })
    };
    let first = slow(&sandbox, "first");
    // This runs on the only executor thread while the compiler waits for what is sent below.
    has_begun.recv().await.expect("it begins");
    let second = slow(&sandbox, "second");
    for _ in 0..50 {
        tokio::task::yield_now().await;
        sandbox.load_async(quick).await.expect("it is compiled, and waits for nobody");
    }
    assert!(has_begun.try_recv().is_err(), "one permit: one compilation at a time");
    assert!(!first.is_finished() && !second.is_finished());
    go.send(()).expect("the compiler waits");
    first.await.expect("no panic").expect("it is good");
    has_begun.recv().await.expect("it begins");

    // Nobody waits for it any more; it goes on all the same, and into the cache.
    second.abort();
    go.send(()).expect("the compiler waits");
    let again = slow(&sandbox, "second").await.expect("no panic").expect("it is good");
    assert!(again.has_function("second") && has_begun.try_recv().is_err(), "it was compiled once");

    let refused = sandbox.load_async("(module (func (export)").await.expect_err("it is no module");
    assert!(matches!(refused, LoadError::Refused(_)), "{refused}");
}
