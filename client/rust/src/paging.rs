//! Lists that fetch their pages as they are read.

use std::collections::VecDeque;

use futures_util::{StreamExt, stream};

use crate::{Client, Error, Stream, rpcs, v1::*};

/// A checkpoint as a list gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The checkpoint.
    pub checkpoint: Checkpoint,
    /// What the list says of it beside.
    pub details: CheckpointDetails,
}

pub(crate) fn sessions(client: Client, request: ListSessionsRequest) -> Stream<SessionSummary> {
    pages(request.page_token.clone(), move |page_token| {
        let (client, request) = (client.clone(), ListSessionsRequest { page_token, ..request.clone() });
        async move {
            let page = client.list_sessions_page(request).await?;
            Ok((page.sessions, page.next_page_token))
        }
    })
}

pub(crate) fn checkpoints(client: Client, request: ListCheckpointsRequest) -> Stream<Listed> {
    pages(request.page_token.clone(), move |page_token| {
        let (client, request) = (client.clone(), ListCheckpointsRequest { page_token, ..request.clone() });
        async move {
            let page = client.list_checkpoints_page(request).await?;
            let mut details = page.details.into_iter();
            let listed = |checkpoint| Listed { checkpoint, details: details.next().unwrap_or_default() };
            Ok((page.checkpoints.into_iter().map(listed).collect(), page.next_page_token))
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

/// Prune page by page; the sum of all answers.
pub(crate) async fn prune(client: &Client, mut request: PruneSessionsRequest) -> Result<PruneSessionsResponse, Error> {
    let mut sum = PruneSessionsResponse::default();
    loop {
        let answer = client.call(rpcs::PRUNE_SESSIONS, &request, client.deadline()).await?;
        sum.checkpoints += answer.checkpoints;
        sum.bytes += answer.bytes;
        sum.sessions += answer.sessions;
        if answer.next_page_token.is_empty() {
            return Ok(sum);
        }
        request.page_token = answer.next_page_token;
    }
}
