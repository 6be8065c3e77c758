//! Connections: taken in up to a number, timed, and ended in peace.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// What connections may take.
pub(crate) struct ConnectionLimits {
    /// Connections at once; further ones wait in the system's queue.
    pub(crate) count: usize,
    /// The time for the head of a request, which is also how long a connection may idle.
    pub(crate) head: Duration,
}

/// Serves until `stopping` says so, then until the requests that run have been answered.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: ConnectionLimits,
    mut stopping: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.count));
    let running = GracefulShutdown::new();
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head);
    loop {
        let taking = async {
            let place = places.clone().acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            taken = taking => taken,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file handles, most likely: others have to be given back first.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        // A token is sent when it is there; without it only latency is worse.
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = server.serve_connection(TokioIo::new(stream), service);
        let connection = running.watch(connection);
        tokio::spawn(async move {
            // An error here is the client's: it hung up or sent no HTTP.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    running.shutdown().await;
}
