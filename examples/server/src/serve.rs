//! The life of the server.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::connections::{self, ConnectionLimits};
use crate::options::Options;
use crate::router;
use crate::state::App;

type Failure = Box<dyn std::error::Error>;

/// Loads the model, serves it, and ends when the system says so.
pub(crate) fn run(options: Options) -> Result<(), Failure> {
    let app = App::load(&options)?;
    // The model computes on threads of its own; these few only pass messages.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(serve(&app, &options))?;
    // What is still prepared for clients that are gone need not be waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    app.engine.shutdown();
    Ok(())
}

async fn serve(app: &Arc<App>, options: &Options) -> Result<(), Failure> {
    let listener = TcpListener::bind((options.host, options.port)).await?;
    println!("{} at http://{}", app.served.base, listener.local_addr()?);
    let (stop, stopping) = watch::channel(false);
    let mut draining = stop.subscribe();
    let watching = app.clone();
    tokio::spawn(async move {
        signalled().await;
        watching.is_stopping.store(true, Ordering::Relaxed);
        // Fails only if nobody listens any more.
        let _ = stop.send(true);
    });
    let limits = ConnectionLimits {
        count: options.max_connections,
        head: Duration::from_secs(options.read_timeout),
    };
    let serving = connections::serve(listener, router::router(app), limits, stopping);
    let patience = Duration::from_secs(options.drain_timeout);
    let overdue = async move {
        let _ = draining.wait_for(|stop| *stop).await;
        tokio::time::sleep(patience).await;
    };
    tokio::select! {
        () = serving => {}
        () = overdue => eprintln!("dino-server: requests that still ran were cut off"),
    }
    Ok(())
}

/// Ends when the system or the terminal asks the server to stop.
async fn signalled() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
            return;
        }
    }
    let _ = tokio::signal::ctrl_c().await;
}
