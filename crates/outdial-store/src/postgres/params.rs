//! What is bound to a statement, with its type: no statement is prepared, so none is asked what it
//! wants (a pooler in transaction mode gives every transaction another connection).

use std::error::Error;

use bytes::BytesMut;
use outdial_core::phone::PhoneNumber;
use outdial_core::time::Timestamp;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

type Put = Result<IsNull, Box<dyn Error + Sync + Send>>;

/// A parameter: `params![workspace, phone]` makes a slice of them.
pub(super) type P<'a> = &'a dyn PgParam;

/// A value that can be bound. Whole numbers are bound as `BIGINT`, whatever their width; arrays are
/// what their elements are.
pub(super) trait PgParam: Sync {
    /// As what it is bound.
    fn pg_type(&self) -> Type;
    /// Writes it.
    fn put(&self, out: &mut BytesMut) -> Put;
}

/// A parameter as the driver wants it.
pub(super) struct Bound<'a>(pub(super) P<'a>);

impl std::fmt::Debug for Bound<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No values: they are people's numbers and operators' passwords.
        write!(f, "{}", self.0.pg_type())
    }
}

impl ToSql for Bound<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Put {
        self.0.put(out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Values that the driver can write as they are, alone and in arrays.
macro_rules! as_they_are {
    ($($value:ty: $type:ident, $array:ident;)*) => {$(
        impl PgParam for $value {
            fn pg_type(&self) -> Type {
                Type::$type
            }
            fn put(&self, out: &mut BytesMut) -> Put {
                self.to_sql(&Type::$type, out)
            }
        }
        as_they_are!(@array $value: $array);
        as_they_are!(@array Option<$value>: $array);
    )*};
    (@array $value:ty: $array:ident) => {
        impl PgParam for Vec<$value> {
            fn pg_type(&self) -> Type {
                Type::$array
            }
            fn put(&self, out: &mut BytesMut) -> Put {
                self.as_slice().to_sql(&Type::$array, out)
            }
        }
        impl PgParam for &[$value] {
            fn pg_type(&self) -> Type {
                Type::$array
            }
            fn put(&self, out: &mut BytesMut) -> Put {
                (*self).to_sql(&Type::$array, out)
            }
        }
    };
}
as_they_are! {
    i64: INT8, INT8_ARRAY;
    i32: INT4, INT4_ARRAY;
    i16: INT2, INT2_ARRAY;
    f64: FLOAT8, FLOAT8_ARRAY;
    bool: BOOL, BOOL_ARRAY;
    String: TEXT, TEXT_ARRAY;
    &str: TEXT, TEXT_ARRAY;
    Vec<u8>: BYTEA, BYTEA_ARRAY;
    &[u8]: BYTEA, BYTEA_ARRAY;
}

/// Values that are bound as another.
macro_rules! as_another {
    ($($value:ty: $type:ident, |$v:ident| $as:expr;)*) => {$(
        impl PgParam for $value {
            fn pg_type(&self) -> Type {
                Type::$type
            }
            fn put(&self, out: &mut BytesMut) -> Put {
                let $v = self;
                $as.to_sql(&Type::$type, out)
            }
        }
    )*};
}
as_another! {
    u8: INT8, |v| i64::from(*v);
    u16: INT8, |v| i64::from(*v);
    u32: INT8, |v| i64::from(*v);
    u64: INT8, |v| i64::try_from(*v)?;
    usize: INT8, |v| i64::try_from(*v)?;
    Timestamp: INT8, |v| v.as_millis();
    PhoneNumber: INT8, |v| i64::try_from(v.digits())?;
    std::sync::Arc<str>: TEXT, |v| &**v;
    Box<str>: TEXT, |v| &**v;
}

impl<const N: usize> PgParam for [u8; N] {
    fn pg_type(&self) -> Type {
        Type::BYTEA
    }

    fn put(&self, out: &mut BytesMut) -> Put {
        self.as_slice().to_sql(&Type::BYTEA, out)
    }
}

impl<T: PgParam + Typed> PgParam for Option<T> {
    fn pg_type(&self) -> Type {
        T::TYPE
    }

    fn put(&self, out: &mut BytesMut) -> Put {
        match self {
            Some(value) => value.put(out),
            None => Ok(IsNull::Yes),
        }
    }
}

impl<T: PgParam + ?Sized> PgParam for &T
where
    T: Borrowed,
{
    fn pg_type(&self) -> Type {
        (**self).pg_type()
    }

    fn put(&self, out: &mut BytesMut) -> Put {
        (**self).put(out)
    }
}

/// Has its type even when it is NULL.
pub(super) trait Typed {
    /// As what it is bound.
    const TYPE: Type;
}

/// May be bound by reference.
pub(super) trait Borrowed {}

macro_rules! typed {
    ($($value:ty: $type:ident)*) => {$(
        impl Typed for $value {
            const TYPE: Type = Type::$type;
        }
    )*};
}
typed! {
    i64: INT8 i32: INT4 i16: INT2 u8: INT8 u16: INT8 u32: INT8 u64: INT8 usize: INT8 f64: FLOAT8
    bool: BOOL String: TEXT &String: TEXT &str: TEXT Vec<u8>: BYTEA &[u8]: BYTEA
    Timestamp: INT8 PhoneNumber: INT8 Vec<i64>: INT8_ARRAY Vec<String>: TEXT_ARRAY
}

macro_rules! borrowed {
    ($($value:ty)*) => {$(impl Borrowed for $value {})*};
}
borrowed! {
    String Vec<&str> Vec<i64> Vec<String> Vec<bool> Vec<u8> i64 u32 u64 std::sync::Arc<str>
    Box<str>
}

impl<const N: usize> Borrowed for [u8; N] {}

/// The parameters of a statement, in their order.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::postgres::params::PgParam),*]
    };
}
pub(super) use params;
