//! `sisepan backup`: writes a verified copy of the store.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::store;

use super::args::{ConfigArg, DataArg, load};

/// Arguments of `sisepan backup`.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Destination file; an existing file is replaced only after the new copy has been verified.
    #[arg(value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    data: DataArg,
}

pub(super) async fn run(args: BackupArgs) -> anyhow::Result<()> {
    let Some(directory) = load(&args.config, &[args.data.flag()])?.data else {
        bail!("`data` is none: there is no store to back up")
    };
    let to = args.to.clone();
    let copied = tokio::task::spawn_blocking(move || store::backup(&directory, &to)).await??;
    println!("{}: {} hours of {} markets, all rows verified", args.to.display(), copied.hours, copied.markets);
    Ok(())
}
