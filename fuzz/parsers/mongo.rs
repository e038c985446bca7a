//! What `mongodump` and `mongoexport` write.

use std::collections::BTreeSet;
use std::convert::Infallible;

use super::in_any_pieces;
use yesterfs::dump::mongo::{
    Archive, DocumentForm, DocumentReader, Documents, Event, Export, ExportEnd, ExportForm, ExportReader, IdText,
    Metadata, OplogReader, Prelude, changed_fields, element_json, extended_json, id_element, key_of_element,
    shown_document, shown_element,
};

pub fn mongo_documents(data: &[u8]) {
    let read = |length: usize| {
        let (mut documents, mut starts) = (Documents::default(), Vec::new());
        let mut oplog = OplogReader::default();
        for piece in data.chunks(length) {
            documents.push(piece, &mut |start| starts.push(start));
            oplog.push(piece);
        }
        let (count, fault) = documents.finish();
        (starts, count, format!("{fault:?}"), oplog.window().map(|it| (it.first.to_string(), it.last.to_string())))
    };
    let whole = in_any_pieces(data, read, "other pieces are other documents");
    assert!(whole.0.is_sorted() && whole.0.iter().all(|&start| start < data.len() as u64));
}

pub fn mongo_archive(data: &[u8]) {
    let read = |length: usize| {
        let (mut archive, mut all, mut told) = (Archive::default(), Vec::new(), Vec::new());
        let mut tell = |event: Event| {
            match event {
                Event::Frame(bytes) | Event::Bytes { bytes, .. } => all.extend_from_slice(bytes),
                other => told.push(format!("{other:?}")),
            }
            Ok::<(), Infallible>(())
        };
        for piece in data.chunks(length) {
            let Ok(()) = archive.push(piece, &mut tell);
        }
        let Ok(end) = archive.finish(&mut tell);
        (all, told, format!("{end:?}"))
    };
    let whole = in_any_pieces(data, read, "other pieces make another archive");
    assert!(whole.0 == data, "frame and documents are not the archive");
}

pub fn mongo_metadata(data: &[u8]) {
    let _ = Metadata::read(data);
    if let Some(prelude) = Prelude::read(data) {
        assert!(Prelude::read(&prelude.to_json()).is_some(), "a prelude that cannot be read again");
    }
}

/// Where documents begin in an export, and how it ends.
fn read_export(form: ExportForm, data: &[u8], length: usize) -> (Vec<u64>, ExportEnd) {
    let (mut export, mut begins) = (Export::new(form), Vec::new());
    data.chunks(length).for_each(|piece| export.push(piece, &mut |at| begins.push(at)));
    (begins, export.finish())
}

/// What `mongoexport` writes.
pub fn mongo_export(data: &[u8]) {
    let _ = data.first().map(|&first| ExportForm::beginning_with(first));
    for form in [ExportForm::Json, ExportForm::Csv { has_names: true }, ExportForm::Csv { has_names: false }] {
        let whole = in_any_pieces(data, |length| read_export(form, data, length), "other pieces have other documents");
        let (begins, end) = whole;
        assert!(begins.is_sorted_by(|one, next| one < next) && begins.iter().all(|&at| at < data.len() as u64));
        assert_eq!(begins.len() as u64, end.counts.documents, "another number of documents than was told");
        if end.fault.is_some() || end.is_marked {
            continue;
        }
        // Those of an array have something between them.
        let ends = begins.iter().skip(1).copied().chain([data.len() as u64]);
        for (begin, end) in begins.iter().zip(ends) {
            let form = if form == ExportForm::Json { form } else { ExportForm::Csv { has_names: false } };
            let document = &data[*begin as usize..end as usize];
            let alone = read_export(form, document, document.len());
            assert!(alone.0 == [0] && alone.1.fault.is_none(), "a document is none alone: {:?}", alone.1);
        }
    }
}

/// The documents of what `mongoexport` writes, from any of them on.
pub fn mongo_export_values(data: &[u8]) {
    let read = |length: usize| {
        let (mut reader, mut documents) = (ExportReader::default(), Vec::new());
        let mut tell = |start: u64, document: &[u8]| {
            assert!(data[start as usize..].starts_with(document), "a document that does not stand there");
            documents.push((start, document.to_vec()));
            Ok::<(), Infallible>(())
        };
        let are_documents = data.chunks(length).all(|piece| reader.push(piece, &mut tell) == Ok(true));
        (are_documents, are_documents && reader.is_between(), documents)
    };
    let (_, _, documents) = in_any_pieces(data, read, "other pieces are other documents");
    let (begins, end) = read_export(ExportForm::Json, data, data.len().max(1));
    if end.fault.is_none() {
        assert!(documents.iter().map(|(start, _)| *start).eq(begins), "an export has other documents than its rows");
    }
    for (_, document) in &documents {
        let form = DocumentForm::Json;
        let compact = form.meaning(document);
        assert!(form.meaning(&compact) == compact, "white space stays between words");
        assert!(form.changed_fields(document, &compact).is_empty(), "a document differs from itself");
        let key = |document: &[u8]| form.id(document).map(|place| form.key_of_id(&document[place]));
        assert!(key(document) == key(&compact), "white space makes another id");
        assert!(
            serde_json::from_str::<serde::de::IgnoredAny>(&form.shown(document)).is_ok(),
            "people are shown no JSON"
        );
    }
}

/// Most bytes of JSON for a byte of a document, and for a document.
const JSON_MAX_BYTES: (usize, usize) = (32, 64);

/// The documents one after the other, and what each says.
pub fn mongo_values(data: &[u8]) {
    let read = |length: usize| {
        let (mut reader, mut documents) = (DocumentReader::default(), Vec::new());
        let mut tell = |start: u64, document: &[u8]| {
            assert!(data[start as usize..].starts_with(document), "a document that does not stand there");
            documents.push((start, document.to_vec()));
            Ok::<(), Infallible>(())
        };
        let are_documents = data.chunks(length).all(|piece| reader.push(piece, &mut tell) == Ok(true));
        (are_documents, are_documents && reader.is_between(), documents)
    };
    let (_, _, documents) = in_any_pieces(data, read, "other pieces are other documents");
    documents.iter().for_each(|(_, document)| look_at_document(document));
    for pair in documents.windows(2) {
        let [a, b] = [&pair[0].1, &pair[1].1];
        let names = |a: &[u8], b: &[u8]| changed_fields(a, b).into_iter().collect::<BTreeSet<_>>();
        assert!(names(a, b) == names(b, a), "documents differ in one direction only");
        assert!(names(a, a).is_empty(), "a document differs from itself");
    }
    // What people write.
    if let Some(IdText::Json(json)) = IdText::read(data) {
        assert!(DocumentForm::Json.is_id(data, &json) && !DocumentForm::Bson.is_id(data, &json));
    }
    look_at_document(data);
}

fn look_at_document(document: &[u8]) {
    let json = extended_json(document);
    assert!(json.as_ref().is_none_or(|json| *json == shown_document(document)), "people are shown something else");
    if let Some(json) = json {
        let (each, all) = JSON_MAX_BYTES;
        assert!(json.len() <= each * document.len() + all, "{} bytes tell of {}", json.len(), document.len());
        let (begins, end) = read_export(ExportForm::Json, format!("{json}\n").as_bytes(), json.len() + 1);
        assert!(begins == [0] && end.fault.is_none(), "its JSON is not one document: {:?}", end.fault);
    }
    if let Some(place) = id_element(document) {
        look_at_id(&document[place]);
    }
}

/// JSON is not read that is nested more deeply.
const READ_DEPTH_MAX: usize = 40;

/// What is shown of an id is one by which it is found.
fn look_at_id(element: &[u8]) {
    let key = key_of_element(element);
    let Some(json) = element_json(element) else { return drop(shown_element(element)) };
    let is_exact = !json.contains(char::REPLACEMENT_CHARACTER) && std::str::from_utf8(element).is_ok();
    let is_shallow = json.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count() <= READ_DEPTH_MAX;
    if !json.starts_with(['{', '"']) || !is_exact || !is_shallow {
        return;
    }
    match IdText::read(json.as_bytes()) {
        Some(IdText::Keys(keys)) => assert!(keys.contains(&key), "{json} is another key"),
        Some(IdText::Json(wanted)) => assert!(DocumentForm::Bson.is_id(element, &wanted), "{json} is of no element"),
        None => panic!("{json} cannot be read"),
    }
}
