//! What people have to say of who is one machine: what could not be told, and what was learned to be shared.

use domain::AssetId;
use domain::identity::Identifier;
use jiff::Timestamp;
use serde::Serialize;
use store::Review;

use super::place;
use crate::Dashboard;
use crate::problem::Problem;
use crate::request::Request;

/// Rows of one page, of each of the two lists.
const ROWS: usize = 20;

/// Matches that a person has to look at, and values that several machines share.
#[derive(Debug, Clone, Serialize)]
pub struct IdentityList {
    /// When it was read.
    pub at: Timestamp,
    /// Sightings that several assets have the same right to, the latest first.
    pub reviews: Vec<ReviewRow>,
    /// Value of `after` for the next page of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// Values that lead to no asset, the latest first.
    pub shared: Vec<SharedRow>,
    /// Value of `shared_after` for the next page of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared_next: Option<String>,
}

/// A sighting that could belong to several assets.
#[derive(Debug, Clone, Serialize)]
pub struct ReviewRow {
    /// What is to be decided.
    #[serde(flatten)]
    pub review: Review,
    /// What the asset of its own is called.
    pub name: String,
    /// What the assets are called that it could be.
    pub names: Vec<Named>,
}

/// An asset by id and name.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    /// Its id.
    pub id: AssetId,
    /// What people call it.
    pub name: String,
}

/// A value that several machines share.
#[derive(Debug, Clone, Serialize)]
pub struct SharedRow {
    /// The value.
    pub identifier: Identifier,
    /// How that is known.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

impl Dashboard {
    pub(crate) async fn identity(&self, request: &Request) -> Result<IdentityList, Problem> {
        let (after, shared_after) = (place(request)?, request.first("shared_after"));
        let (reviews, shared) = tokio::try_join!(
            self.store.reviews(after, ROWS),
            self.store.shared_identifiers(shared_after, ROWS)
        )?;
        let ids: Vec<AssetId> = reviews
            .0
            .iter()
            .flat_map(|review| review.candidates.iter().chain([&review.asset]))
            .cloned()
            .collect();
        let names = self.store.asset_names(&ids).await?;
        let name = |id: &AssetId| names.get(id).cloned().unwrap_or_else(|| id.to_string());
        Ok(IdentityList {
            at: self.now(),
            reviews: reviews
                .0
                .into_iter()
                .map(|review| ReviewRow {
                    name: name(&review.asset),
                    names: review
                        .candidates
                        .iter()
                        .map(|id| Named { id: id.clone(), name: name(id) })
                        .collect(),
                    review,
                })
                .collect(),
            next: reviews.1,
            shared: shared
                .0
                .into_iter()
                .map(|(identifier, shared)| SharedRow { identifier, reason: shared.reason, since: shared.at })
                .collect(),
            shared_next: shared.1,
        })
    }
}
