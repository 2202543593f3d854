//! `sisepan backup`: a verified copy of the store.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::store;

use super::{ConfigArg, DataArg, load};

/// What `sisepan backup` takes.
#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// The file that the copy becomes. An older one is replaced once the new one is known to be whole.
    #[arg(value_name = "FILE")]
    to: PathBuf,
    #[command(flatten)]
    config: ConfigArg,
    #[command(flatten)]
    data: DataArg,
}

pub(super) async fn run(args: BackupArgs) -> anyhow::Result<()> {
    let Some(directory) = load(&args.config, &[args.data.flag()])?.data else {
        bail!("`data` is none: there is no store to copy")
    };
    let to = args.to.clone();
    let copied = tokio::task::spawn_blocking(move || store::backup(&directory, &to)).await??;
    println!("{}: {} hours of {} markets, every row checked", args.to.display(), copied.hours, copied.markets);
    Ok(())
}
