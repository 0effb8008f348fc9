//! Lists that fetch further pages as they are read.

use std::{collections::VecDeque, time::SystemTime};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use crate::{
    CheckpointQuery, Client, Error, Pruned, SessionQuery, SessionSummary, Stream,
    proto::{self, Checkpoint, PendingWrite},
    rpcs,
    times::time,
};

/// One page of sessions; see [`Client::list_sessions_page`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SessionPage {
    /// The sessions. A page can be short or empty although further pages follow.
    pub sessions: Vec<SessionSummary>,
    /// The token of the next page; "": this is the last page.
    pub next_page_token: String,
}

impl SessionPage {
    pub(crate) fn of(message: proto::ListSessionsResponse) -> Self {
        let proto::ListSessionsResponse { sessions, next_page_token } = message;
        Self { sessions: sessions.into_iter().map(SessionSummary::of).collect(), next_page_token }
    }
}

/// A checkpoint in a list; see [`Client::list_checkpoints`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ListedCheckpoint {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// The session's revision in which the content was written.
    pub revision: u64,
    /// The database's time of that save.
    pub saved_at: Option<SystemTime>,
    /// Size of the state, in bytes, before compression.
    pub state_bytes: u64,
    /// Its pending writes, ordered by (task_path, task_id, index), with [`CheckpointQuery::with_writes`].
    pub pending_writes: Vec<PendingWrite>,
    /// Trace id of the call that wrote the content: 32 hexadecimal digits, or "".
    pub trace_id: String,
    /// Sizes of its channels, with [`CheckpointQuery::with_channel_sizes`].
    pub channels: Vec<ChannelSize>,
}

impl ListedCheckpoint {
    fn of(checkpoint: Checkpoint, details: proto::CheckpointDetails) -> Self {
        let proto::CheckpointDetails { revision, saved_at, state_bytes, pending_writes, trace_id, channels } = details;
        let channels = channels.into_iter().map(ChannelSize::of).collect();
        Self { checkpoint, revision, saved_at: time(saved_at), state_bytes, pending_writes, trace_id, channels }
    }
}

/// The size of a channel.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChannelSize {
    /// `messages`, `errors`, `extra/<key>` or `custom/<name>`.
    pub channel: String,
    /// Size of its content, in bytes, before compression.
    pub bytes: u64,
    /// Two checkpoints of a session with the same fingerprint have the same content in this channel.
    pub fingerprint: Bytes,
}

impl ChannelSize {
    fn of(message: proto::ChannelSize) -> Self {
        let proto::ChannelSize { channel, bytes, fingerprint } = message;
        Self { channel, bytes, fingerprint }
    }
}

/// A checkpoint that is damaged in the store; see [`CheckpointQuery::skip_damaged`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DamagedCheckpoint {
    /// The session.
    pub session_id: String,
    /// Its namespace.
    pub namespace: String,
    /// Its id.
    pub checkpoint_id: String,
    /// The error of loading it: DATA_LOSS.
    pub error: Error,
}

impl DamagedCheckpoint {
    fn of(message: proto::DamagedCheckpoint) -> Self {
        let proto::DamagedCheckpoint { session_id, namespace, checkpoint_id, error } = message;
        Self { session_id, namespace, checkpoint_id, error: Error::from_answer(error.unwrap_or_default()) }
    }
}

/// One page of checkpoints; see [`Client::list_checkpoints_page`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CheckpointPage {
    /// The checkpoints. A page can be short or empty although further pages follow.
    pub checkpoints: Vec<ListedCheckpoint>,
    /// The damaged checkpoints of this page, with [`CheckpointQuery::skip_damaged`].
    pub damaged: Vec<DamagedCheckpoint>,
    /// Number of all checkpoints that match, with [`CheckpointQuery::with_total`].
    pub total_size: Option<u64>,
    /// The token of the next page; "": this is the last page.
    pub next_page_token: String,
}

impl CheckpointPage {
    pub(crate) fn of(message: proto::ListCheckpointsResponse) -> Self {
        let proto::ListCheckpointsResponse { checkpoints, next_page_token, total_size, details, damaged } = message;
        let mut details = details.into_iter();
        let listed = |checkpoint| ListedCheckpoint::of(checkpoint, details.next().unwrap_or_default());
        Self {
            checkpoints: checkpoints.into_iter().map(listed).collect(),
            damaged: damaged.into_iter().map(DamagedCheckpoint::of).collect(),
            total_size,
            next_page_token,
        }
    }
}

pub(crate) fn sessions(client: Client, query: SessionQuery) -> Stream<SessionSummary> {
    pages(query.0.page_token.clone(), move |page_token| {
        let (client, query) = (client.clone(), query.clone().page_token(page_token));
        async move {
            let page = client.list_sessions_page(query).await?;
            Ok((page.sessions, page.next_page_token))
        }
    })
}

pub(crate) fn checkpoints(client: Client, query: CheckpointQuery) -> Stream<ListedCheckpoint> {
    pages(query.0.page_token.clone(), move |page_token| {
        let (client, query) = (client.clone(), query.clone().page_token(page_token));
        async move {
            let page = client.list_checkpoints_page(query).await?;
            Ok((page.checkpoints, page.next_page_token))
        }
    })
}

/// Where in a list a reader is.
struct Place<T> {
    items: VecDeque<T>,
    /// Of the next page; none: this is the last one.
    token: Option<String>,
}

/// The items of all pages. `fetch` takes a token, and gives a page and the token of the next, "" for none.
fn pages<T, F>(token: String, fetch: impl FnMut(String) -> F + Send + 'static) -> Stream<T>
where
    T: Send + 'static,
    F: Future<Output = Result<(Vec<T>, String), Error>> + Send,
{
    let start = (Place { items: VecDeque::new(), token: Some(token) }, fetch);
    stream::try_unfold(start, |(mut place, mut fetch)| async move {
        loop {
            if let Some(item) = place.items.pop_front() {
                return Ok(Some((item, (place, fetch))));
            }
            let Some(token) = place.token else { return Ok(None) };
            let (items, next) = fetch(token).await?;
            place = Place { items: items.into(), token: (!next.is_empty()).then_some(next) };
        }
    })
    .boxed()
}

/// Prune page by page; the sum of all pages.
pub(crate) async fn prune(client: &Client, mut request: proto::PruneSessionsRequest) -> Result<Pruned, Error> {
    let mut sum = Pruned::default();
    loop {
        let page = client.call(rpcs::PRUNE_SESSIONS, &request, client.deadline()).await?;
        request.page_token = sum.add(page);
        if request.page_token.is_empty() {
            return Ok(sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tonic::Code;

    use super::*;

    #[test]
    fn a_page_of_checkpoints_is_complete() {
        let write = PendingWrite { task_id: "t".into(), ..Default::default() };
        let size = proto::ChannelSize { channel: "messages".into(), bytes: 7, fingerprint: "f".into() };
        let details = proto::CheckpointDetails {
            revision: 3,
            saved_at: Some(prost_types::Timestamp { seconds: 4, nanos: 5 }),
            state_bytes: 6,
            pending_writes: vec![write.clone()],
            trace_id: "trace".into(),
            channels: vec![size],
        };
        let damaged = proto::DamagedCheckpoint {
            session_id: "s".into(),
            namespace: "n".into(),
            checkpoint_id: "id".into(),
            error: Some(proto::Status { code: 15, message: "damaged".into(), details: Vec::new() }),
        };
        let page = CheckpointPage::of(proto::ListCheckpointsResponse {
            checkpoints: vec![Checkpoint::new("s", 1)],
            next_page_token: "next".into(),
            total_size: Some(2),
            details: vec![details],
            damaged: vec![damaged],
        });
        let expected = ListedCheckpoint {
            checkpoint: Checkpoint::new("s", 1),
            revision: 3,
            saved_at: Some(SystemTime::UNIX_EPOCH + Duration::new(4, 5)),
            state_bytes: 6,
            pending_writes: vec![write],
            trace_id: "trace".into(),
            channels: vec![ChannelSize { channel: "messages".into(), bytes: 7, fingerprint: "f".into() }],
        };
        assert_eq!(page.checkpoints, [expected]);
        assert_eq!((page.total_size, &*page.next_page_token), (Some(2), "next"));
        let damaged = &page.damaged[0];
        assert_eq!((&*damaged.session_id, &*damaged.namespace, &*damaged.checkpoint_id), ("s", "n", "id"));
        assert_eq!(damaged.error.code(), Code::DataLoss);
    }

    #[test]
    fn a_page_of_sessions_is_complete() {
        let session = proto::SessionSummary { session_id: "s".into(), ..Default::default() };
        let page = proto::ListSessionsResponse { sessions: vec![session], next_page_token: "next".into() };
        let page = SessionPage::of(page);
        assert_eq!((&*page.sessions[0].session_id, &*page.next_page_token), ("s", "next"));
    }
}
