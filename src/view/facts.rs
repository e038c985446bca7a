//! Facts: what is told of a snapshot and of what is in a dump, as text, to whoever asks for it by name.

use crate::error::Result;
use crate::repository::Repository;
use crate::repository::dump_counts::counts_at;
use crate::repository::snapshot::Snapshot;

/// A fact of the entry at this position of a snapshot: of its root, those of the snapshot.
pub fn of_entry(repository: &Repository, snapshot: &Snapshot, position: u64, fact: &str) -> Result<Option<Vec<u8>>> {
    match (position, fact) {
        (0, _) => Ok(of_snapshot(snapshot, fact)),
        (_, "rows" | "bytes") => {
            let mut path = Vec::new();
            repository.tree()?.descend(&snapshot.manifest.root, position, |entry, _| {
                path.push(entry.name);
                Ok(())
            })?;
            let counts = counts_at(repository, snapshot, &path.join(&b'/'))?;
            let number = counts.map(|counts| if fact == "rows" { counts.rows } else { counts.bytes });
            Ok(number.map(|number| number.to_string().into_bytes()))
        }
        _ => Ok(None),
    }
}

/// A fact of a snapshot as text.
fn of_snapshot(snapshot: &Snapshot, fact: &str) -> Option<Vec<u8>> {
    let manifest = &snapshot.manifest;
    let totals = manifest.root.directory().map(|root| root.totals).unwrap_or_default();
    let text = match fact {
        "id" => snapshot.id.to_string(),
        "source" => manifest.source.clone(),
        "name" => manifest.name.clone(),
        "time" => manifest.started.to_rfc3339(),
        "finished" => manifest.finished.to_rfc3339(),
        "status" => manifest.status.name().to_string(),
        "kind" => manifest.kind.name().to_string(),
        "host" => manifest.host.clone(),
        "user" => manifest.user.clone(),
        "origin" => return Some(manifest.origin.clone()),
        "parent" => manifest.parent?.to_string(),
        "files" => manifest.files.to_string(),
        "entries" => totals.descendants.to_string(),
        "bytes" => totals.bytes.to_string(),
        "problems" => manifest.problems.to_string(),
        "tags" => snapshot.tags.iter().map(String::as_str).collect::<Vec<_>>().join(","),
        _ => manifest.facts.get(fact)?.clone(),
    };
    Some(text.into_bytes())
}
