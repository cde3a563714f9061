//! A body that comes piece by piece from somewhere else: a file, or pages of the store. What stops
//! in the middle breaks the connection, so that nobody takes a part for the whole.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;

/// Bytes of a file that are read at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Pieces on their way to the client.
pub(crate) type Pieces = mpsc::Sender<Result<Bytes, io::Error>>;

/// A body, and where its pieces are to go.
pub(crate) fn channel() -> (Pieces, Body) {
    let (send, pieces) = mpsc::channel(2);
    (send, Body::new(Pieced(pieces)))
}

/// A file as a body, from its beginning; `seat` is held until it was taken.
pub(crate) fn of_file(file: File, seat: impl Send + 'static) -> Body {
    let (send, body) = channel();
    tokio::spawn(async move {
        let _seat = seat;
        let mut file = Some(file);
        while let Some(mut open) = file.take() {
            let reading = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; PIECE_BYTES];
                let read = open.read(&mut piece)?;
                piece.truncate(read);
                Ok((open, piece))
            });
            let read = reading.await.unwrap_or_else(|e| Err(io::Error::other(e)));
            let piece = match read {
                Ok((_, piece)) if piece.is_empty() => break,
                Ok((open, piece)) => {
                    file = Some(open);
                    Ok(Bytes::from(piece))
                }
                Err(e) => Err(e),
            };
            if send.send(piece).await.is_err() {
                break;
            }
        }
    });
    body
}

struct Pieced(mpsc::Receiver<Result<Bytes, io::Error>>);

impl http_body::Body for Pieced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|p| p.map(Frame::data)))
    }
}
