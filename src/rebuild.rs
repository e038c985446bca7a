//! Rebuild: the compressed file that a snapshot of a dump was made of, byte for byte.

use std::ops::ControlFlow;

use crate::compressed::Wrapping;
use crate::compressed::recipe::RecipeReader;
use crate::dump::layout::{ORIGINAL_DIRECTORY, RECIPE_SUFFIX};
use crate::error::{Error, Result};
use crate::repository::Repository;
use crate::repository::content::Content;
use crate::repository::node::Node;
use crate::repository::snapshot::Snapshot;

/// Names that one message tells.
const NAMES_TOLD_MAX: usize = 20;

/// Gives `out` the compressed file of this name that a snapshot was made of; without a name, the only one that came. It is known to be
/// right only once this returns.
///
/// # Errors
/// [`Error::NotFound`] where there is none, [`Error::Ambiguous`] where there are several, [`Error::Corrupt`] where what came was
/// not the file.
pub fn rebuild_original(
    repository: &Repository,
    snapshot: &Snapshot,
    name: Option<&[u8]>,
    out: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let root = &snapshot.manifest.root;
    let (file, content) = original(repository, root, name)?;
    let contents = repository.contents()?;
    if !file.ends_with(RECIPE_SUFFIX.as_bytes()) {
        return contents.each_piece(&content, 1, |piece| out(piece).map(ControlFlow::Continue));
    }
    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let mut source = contents.pieces(&content, 0);
    let recipe = RecipeReader::open(shown(&[ORIGINAL_DIRECTORY.as_bytes(), b"/", &file].concat()), &mut source)?;
    let text = repository.tree()?.lookup_path(root, &recipe.path)?;
    let missing = || Error::corrupt(shown(&file), format!("the snapshot has no \"{}\"", shown(&recipe.path)));
    let text = text.as_ref().and_then(Node::content).ok_or_else(missing)?;
    let mut text = contents.pieces(text, recipe.start);
    recipe.rebuild(&mut text, out)
}

/// What is kept of a file: its name and its content.
fn original(repository: &Repository, root: &Node, name: Option<&[u8]>) -> Result<(Vec<u8>, Content)> {
    let mut found = originals(repository, root, name)?;
    if name.is_none() {
        keep_outermost(&mut found);
    }
    let shown = |name: &[u8]| String::from_utf8_lossy(name).into_owned();
    let (what, asked) = ("compressed original", shown(name.unwrap_or(ORIGINAL_DIRECTORY.as_bytes())));
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::NotFound { what, name: asked }),
        more => {
            let names = found.iter().map(|(kept, _)| shown(file_of(kept)));
            let rest = (more > NAMES_TOLD_MAX).then(|| "more".to_string());
            let matches = names.take(NAMES_TOLD_MAX).chain(rest).collect();
            Err(Error::Ambiguous { what, name: asked, matches })
        }
    }
}

/// The name of the file that this is, or tells how to make.
fn file_of(kept: &[u8]) -> &[u8] {
    kept.strip_suffix(RECIPE_SUFFIX.as_bytes()).unwrap_or(kept)
}

/// Leaves out what came out of another one, as an archive out of a compressed one: it is not what came.
fn keep_outermost(found: &mut Vec<(Vec<u8>, Content)>) {
    let files: Vec<Vec<u8>> = found.iter().map(|(kept, _)| file_of(kept).to_vec()).collect();
    let is_inside = |file: &[u8]| {
        let mut around = Wrapping::ALL.into_iter().map(|it| [file, it.suffix().as_bytes()].concat());
        around.any(|around| files.contains(&around))
    };
    found.retain(|(kept, _)| !is_inside(file_of(kept)));
}

/// All that is kept of files, or of those of a name; of more than can be told, some.
fn originals(repository: &Repository, root: &Node, name: Option<&[u8]>) -> Result<Vec<(Vec<u8>, Content)>> {
    let tree = repository.tree()?;
    let top = tree.lookup_path(root, ORIGINAL_DIRECTORY.as_bytes())?;
    let mut directories: Vec<(Vec<u8>, Node)> = top.into_iter().map(|top| (Vec::new(), top)).collect();
    let mut found = Vec::new();
    while let Some((prefix, directory)) = directories.pop() {
        for entry in directory.directory().into_iter().flat_map(|directory| tree.entries(directory)) {
            let entry = entry?;
            let path = [&prefix, &entry.name[..]].concat();
            let is_wanted = name.is_none_or(|name| name == file_of(&path) || name == path);
            if entry.node.directory().is_some() {
                directories.push(([&path, &b"/"[..]].concat(), entry.node));
            } else if let (true, Some(content)) = (is_wanted, entry.node.content()) {
                found.push((path, content.clone()));
            }
            if found.len() > NAMES_TOLD_MAX + 1 {
                return Ok(found);
            }
        }
    }
    Ok(found)
}
