//! What `mongodump` and `mongoexport` write.

use std::collections::BTreeSet;
use std::convert::Infallible;

use super::in_any_pieces;
use yesterfs::dump::mongo::{
    Archive, DocumentForm, DocumentReader, Documents, Event, Export, ExportEnd, ExportEvent, ExportForm, ExportReader,
    IdText, Metadata, OplogReader, Prelude, changed_fields, csv_fields, csv_names, element_json, extended_json,
    id_element, key_of_element, shown_document, shown_element,
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

/// Records of names, documents and where they begin; and whether each has two ends, and nothing else is there.
type Rows = (Vec<Vec<u8>>, Vec<(u64, Vec<u8>)>, [bool; 2]);

fn read_rows(form: ExportForm, data: &[u8], length: usize) -> Rows {
    let (mut reader, mut names, mut documents) = (ExportReader::new(form), Vec::new(), Vec::new());
    let mut tell = |event: ExportEvent| {
        match event {
            ExportEvent::Names(text) => names.push(text.to_vec()),
            ExportEvent::Document { start, text } => {
                assert!(data[start as usize..].starts_with(text), "a document that does not stand there");
                documents.push((start, text.to_vec()));
            }
        }
        Ok::<(), Infallible>(())
    };
    let are_documents = data.chunks(length).all(|piece| reader.push(piece, &mut tell) == Ok(true));
    (names, documents, [are_documents, are_documents && reader.is_between()])
}

/// The records of what `mongoexport` writes as CSV, from any of them on.
pub fn mongo_csv(data: &[u8]) {
    for has_names in [true, false] {
        let form = ExportForm::Csv { has_names };
        let whole = in_any_pieces(data, |length| read_rows(form, data, length), "other pieces are other records");
        let (names, records, [_, is_whole]) = whole;
        let (begins, end) = read_export(form, data, data.len().max(1));
        assert!(names.len() <= usize::from(has_names), "names come twice");
        assert!(!is_whole || end.fault.is_none() && records.iter().map(|(start, _)| *start).eq(begins));
        let all = || names.iter().chain(records.iter().map(|(_, text)| text));
        let count = all().next().map(|first| csv_names(first).len());
        for record in all() {
            assert_eq!(Some(csv_names(record).len()), count, "records are told that are not alike");
            look_at_record(record);
        }
    }
    look_at_record(data);
}

fn look_at_record(record: &[u8]) {
    let (mut fields, texts) = (Vec::new(), csv_names(record));
    csv_fields(record, &mut fields);
    let parts: Vec<&[u8]> = fields.into_iter().map(|field| &record[field]).collect();
    assert!(parts.join(&b',') == record, "fields with commas between them are not the record");
    let quoted = |text: &Vec<u8>| {
        [b"\"", &text.split(|&byte| byte == b'"').collect::<Vec<_>>().join(&b"\"\""[..])[..], b"\""].concat()
    };
    let again: Vec<Vec<u8>> = texts.iter().map(quoted).collect();
    assert!(csv_names(&again.join(&b',')) == texts, "what fields say is not what they say once it is quoted");
}

/// The documents of what `mongoexport` writes, from any of them on.
pub fn mongo_export_values(data: &[u8]) {
    let read = |length: usize| {
        let (names, documents, is_whole) = read_rows(ExportForm::Json, data, length);
        assert!(names.is_empty(), "JSON has names before its documents");
        (documents, is_whole)
    };
    let (documents, _) = in_any_pieces(data, read, "other pieces are other documents");
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
    if let Some(json) = IdText::read(data).and_then(|id| id.json) {
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
        Some(IdText { json: Some(wanted), .. }) => {
            assert!(DocumentForm::Bson.is_id(element, &wanted), "{json} is of no element")
        }
        Some(IdText { keys, json: None }) => assert!(keys.contains(&key), "{json} is another key"),
        None => panic!("{json} cannot be read"),
    }
}
