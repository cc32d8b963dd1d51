//! What every function needs to run: configuration, secrets, time, clients of AWS, logs.

pub mod aws;
pub mod clock;
pub mod config;
pub mod effects;
pub mod secrets;
pub mod services;
pub mod sign_in;
pub mod telemetry;

pub use clock::{Clock, SystemClock};
pub use config::{ConfigError, parse_config};
pub use effects::{EffectError, Effects};
pub use secrets::{SecretError, Secrets};
pub use services::store_config;
pub use services::{CONFIG_DOCUMENT, Services, Settings, StartError};
pub use sign_in::{SignInSettings, SignInSettingsError};
pub use telemetry::{Dimension, Metric, Metrics};
