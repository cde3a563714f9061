//! Pages of lists.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use crate::app::App;
use crate::error::{ApiError, ApiResult};

const LIMIT_DEFAULT: u32 = 10;
const LIMIT_MAX: u32 = 100;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// From 1.
    pub(crate) page: u32,
    /// 1–100.
    pub(crate) limit: u32,
}

impl Page {
    /// From the query's `page` and `limit`.
    pub(crate) fn parse(page: Option<&str>, limit: Option<&str>) -> ApiResult<Self> {
        let number = |field: &str, text: Option<&str>, default: u32, max: u32| match text {
            None => Ok(default),
            Some(text) => match text.parse() {
                Ok(n) if (1..=max).contains(&n) => Ok(n),
                _ => Err(ApiError::bad(format!("{field}: write a whole number from 1 to {max}"))),
            },
        };
        Ok(Self {
            page: number("page", page, 1, u32::MAX)?,
            limit: number("limit", limit, LIMIT_DEFAULT, LIMIT_MAX)?,
        })
    }

    /// How many pages `total` things make.
    pub(crate) fn pages(self, total: u64) -> u64 {
        total.div_ceil(u64::from(self.limit))
    }
}

/// Where a page stands among all.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pagination {
    /// How many match.
    pub(crate) total: u64,
    /// From 1.
    pub(crate) page: u32,
    /// Most on one page.
    pub(crate) limit: u32,
    /// How many pages that makes.
    pub(crate) total_pages: u64,
}

impl Pagination {
    /// Of `total` things.
    pub(crate) fn new(page: Page, total: u64) -> Self {
        Self { total, page: page.page, limit: page.limit, total_pages: page.pages(total) }
    }
}

/// The query string; what does not fit is 400 in our envelope.
pub(crate) struct Params<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> ApiResult<Self> {
        Query::<T>::from_request_parts(parts, app)
            .await
            .map(|Query(value)| Self(value))
            .map_err(|e| ApiError::bad(format!("query: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let page = Page::parse(None, None).unwrap();
        assert_eq!(page, Page { page: 1, limit: 10 });
        assert_eq!((page.pages(0), page.pages(10), page.pages(11)), (0, 1, 2));
        assert_eq!(Page::parse(Some("3"), Some("100")).unwrap(), Page { page: 3, limit: 100 });
        for (page, limit) in [("0", "10"), ("1", "0"), ("1", "101"), ("-1", "1"), ("x", "1")] {
            assert!(Page::parse(Some(page), Some(limit)).is_err(), "{page} {limit}");
        }
    }
}
