//! Data planes, as a control plane lists them.

use http::StatusCode;

use crate::answer::Answer;

const NOT_A_CONTROL_PLANE: &str =
    "this endpoint is only available when Kong is configured to run as Control Plane for the cluster";

pub fn data_planes() -> Answer {
    Answer::message(StatusCode::BAD_REQUEST, NOT_A_CONTROL_PLANE)
}

pub fn status() -> Answer {
    data_planes().with_header("deprecation", "true")
}
