//! The messages of an event file, as far as they are used here. Names and numbers of the fields are those of TensorBoard's
//! `event.proto`, `summary.proto`, `tensor.proto` and `plugins/hparams/plugin_data.proto`; they are written down here, so
//! that no build needs `protoc`.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

use crate::histogram::Histogram;

/// What the first event of a file says.
pub(crate) const FILE_VERSION: &str = "brain.Event:2";
/// The tags and the name by which the tab HPARAMS finds its own.
const SESSION_START: &str = "_hparams_/session_start_info";
pub(crate) const SESSION_END: &str = "_hparams_/session_end_info";
const HPARAMS: &str = "hparams";
/// `STATUS_SUCCESS`.
const SUCCESS: i32 = 1;
/// `DT_FLOAT`.
const FLOAT: i32 = 1;
/// One channel: grey.
const GREY: i32 = 1;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(crate) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(crate) step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    pub(crate) what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<Value>,
}

/// Something that is shown under a tag, at one step.
#[derive(Clone, PartialEq, Message)]
pub struct Value {
    #[prost(string, tag = "1")]
    pub(crate) tag: String,
    #[prost(oneof = "Kind", tags = "2, 4, 5, 8")]
    kind: Option<Kind>,
    #[prost(message, optional, tag = "9")]
    metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "4")]
    Image(Image),
    #[prost(message, tag = "5")]
    Histogram(Histogram),
    #[prost(message, tag = "8")]
    Tensor(Tensor),
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    channels: i32,
    #[prost(bytes = "vec", tag = "4")]
    png: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(message, optional, tag = "1")]
    plugin: Option<Plugin>,
}

#[derive(Clone, PartialEq, Message)]
struct Plugin {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "2")]
    content: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int32, tag = "1")]
    dtype: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "2")]
    dims: Vec<Dim>,
}

#[derive(Clone, PartialEq, Message)]
struct Dim {
    #[prost(int64, tag = "1")]
    size: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Hparams {
    #[prost(oneof = "Session", tags = "3, 4")]
    session: Option<Session>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Session {
    #[prost(message, tag = "3")]
    Start(SessionStart),
    #[prost(message, tag = "4")]
    End(SessionEnd),
}

#[derive(Clone, PartialEq, Message)]
struct SessionStart {
    #[prost(btree_map = "string, message", tag = "1")]
    hparams: BTreeMap<String, JsonValue>,
    #[prost(double, tag = "5")]
    seconds: f64,
}

#[derive(Clone, PartialEq, Message)]
struct SessionEnd {
    #[prost(int32, tag = "1")]
    status: i32,
    #[prost(double, tag = "2")]
    seconds: f64,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
struct JsonValue {
    #[prost(oneof = "Hyperparameter", tags = "2, 3")]
    kind: Option<Hyperparameter>,
}

/// The value of a hyper-parameter.
#[derive(Clone, PartialEq, Oneof)]
pub enum Hyperparameter {
    /// A number.
    #[prost(double, tag = "2")]
    Number(f64),
    /// A text.
    #[prost(string, tag = "3")]
    Text(String),
}

impl Value {
    /// A number, which is shown over the steps.
    pub fn scalar(tag: &str, value: f64) -> Self {
        Self { tag: tag.into(), kind: Some(Kind::Scalar(value as f32)), metadata: None }
    }

    /// A grey picture, as the bytes of a PNG file.
    ///
    /// # Panics
    /// If a side is longer than 2³¹ - 1 pixels.
    pub fn image(tag: &str, width: usize, height: usize, png: Vec<u8>) -> Self {
        let side = |pixels| i32::try_from(pixels).expect("a side of a picture");
        let image = Image { height: side(height), width: side(width), channels: GREY, png };
        Self { tag: tag.into(), kind: Some(Kind::Image(image)), metadata: None }
    }

    /// How values are distributed. Those that are not finite are left out.
    pub fn histogram(tag: &str, values: &[f32]) -> Self {
        Self { tag: tag.into(), kind: Some(Kind::Histogram(Histogram::of(values))), metadata: None }
    }

    /// The hyper-parameters of a run that began at `seconds` since 1970.
    pub(crate) fn session_start(hparams: BTreeMap<String, Hyperparameter>, seconds: f64) -> Self {
        let hparams = hparams.into_iter().map(|(name, value)| (name, JsonValue { kind: Some(value) })).collect();
        Self::hparams(SESSION_START, Session::Start(SessionStart { hparams, seconds }))
    }

    /// The run has ended well, at `seconds` since 1970.
    pub(crate) fn session_end(seconds: f64) -> Self {
        Self::hparams(SESSION_END, Session::End(SessionEnd { status: SUCCESS, seconds }))
    }

    /// What it says is its metadata; TensorBoard wants an empty tensor beside it.
    fn hparams(tag: &str, session: Session) -> Self {
        let content = Hparams { session: Some(session) }.encode_to_vec();
        let plugin = Plugin { name: HPARAMS.into(), content };
        let empty = Tensor { dtype: FLOAT, shape: Some(Shape { dims: vec![Dim { size: 0 }] }) };
        let metadata = Some(Metadata { plugin: Some(plugin) });
        Self { tag: tag.into(), kind: Some(Kind::Tensor(empty)), metadata }
    }
}
