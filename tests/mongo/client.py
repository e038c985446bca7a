"""What the tests do with a server that speaks MongoDB's protocol, for want of mongodump in any package.

usage: client.py PORT fill COUNT            make databases with every type, and a collection of COUNT orders
       client.py PORT change PERCENT        update so many of the orders
       client.py PORT dump DIR [--oplog]    write a directory as mongodump 100.18 does; with --oplog orders change meanwhile
       client.py PORT load FILE COLLECTION  put the documents of a file into shop.COLLECTION
       client.py PORT export COLLECTION     print the documents of shop.COLLECTION as mongoexport 100.18 does
       client.py PORT import FILE COLLECTION  put the documents of such a file into shop.COLLECTION
       client.py PORT user NAME PASSWORD    make a user who may do everything
       client.py PORT compare A B           tell whether two collections of shop hold the same documents
"""

import base64
import datetime
import hashlib
import os
import random
import sys
import urllib.parse
import uuid

import bson
import pymongo
from bson import SON, json_util
from bson.raw_bson import RawBSONDocument

UTC = datetime.timezone.utc
TYPES = {
    "double": -0.0, "nan": float("nan"), "string": 'h\u00e9\u0000llo \U0001f600 "q" \\ \n', "empty": "",
    "object": {"a": {"b": {"c": [1, {"d": None}]}}}, "array": [1, "x", [2, [3]], {}], "nothing": [], "binary": b"\x00\xff",
    "uuid": bson.Binary.from_uuid(uuid.UUID(int=7)), "own": bson.Binary(b"user", 0x80), "id": bson.ObjectId("5" * 24),
    "true": True, "date": datetime.datetime(1, 1, 1, tzinfo=UTC), "null": None, "regex": bson.Regex("^a.*b$", "imx"),
    "code": bson.Code("return 1"), "scope": bson.Code("return x", {"x": 1}), "int32": 2147483647,
    "int64": bson.Int64(9223372036854775807), "timestamp": bson.Timestamp(1700000000, 9), "decimal": bson.Decimal128("1.10"),
    "smallest": bson.MinKey(), "largest": bson.MaxKey(), "reference": bson.DBRef("users", 1, "other"),
}
IDS = [1, 1.5, bson.Int64(2**40), "text", bson.ObjectId(), {"a": 1, "b": 2}, bson.Binary(b"i"), None, True, bson.Decimal128("3")]


def order(rng, number):
    lines = [{"sku": f"sku-{rng.randrange(2000)}", "price": rng.random() * 100} for _ in range(rng.randint(1, 4))]
    note = "".join(rng.choices("abcdefghij ", k=60))
    return {"_id": number, "total": bson.Decimal128(f"{rng.randrange(99999)}.{number % 100:02d}"), "lines": lines, "note": note}


def fill(client, count):
    shop, rng = client.shop, random.Random(7)
    shop.types.insert_many([{"_id": name, "v": value} for name, value in TYPES.items()])
    shop.types.insert_one(RawBSONDocument(bson.encode(SON([("z", 1), ("_id", "comes last")]))))
    shop.ids.insert_many([{"_id": value, "n": number} for number, value in enumerate(IDS)])
    for start in range(0, count, 2000):
        shop.orders.insert_many([order(rng, number) for number in range(start, min(count, start + 2000))])
    shop.orders.create_index([("total", -1), ("_id", 1)], name="by_total")
    shop.users.insert_many([{"email": f"u{number}@example.org"} for number in range(1000)])
    shop.users.create_index("email", unique=True)
    shop.create_collection("cheap", viewOn="orders", pipeline=[{"$match": {"total": {"$lt": 10}}}])
    shop.create_collection("empty")
    for name in ["with space", "dots.in.name", "L" * 200]:
        shop[name].insert_one({"n": name})
    client["other-db"].things.insert_many([{"_id": number, "v": number * number} for number in range(100)])


def change(client, percent):
    rng, orders = random.Random(percent), client.shop.orders
    count = orders.count_documents({})
    for number in rng.sample(range(count), max(1, int(count * percent / 100))):
        orders.update_one({"_id": number}, {"$set": {"total": bson.Decimal128(f"{rng.randrange(10000, 99999)}.00")}})


def file_name(collection):
    escaped = urllib.parse.quote_plus(collection)
    if len(escaped) <= 238:
        return escaped
    digest = base64.urlsafe_b64encode(hashlib.sha1(collection.encode()).digest()).decode().rstrip("=")
    return escaped[:208] + "%24" + digest


def write_json(path, value):
    options = json_util.CANONICAL_JSON_OPTIONS
    with open(path, "w", encoding="utf-8") as out:
        out.write(json_util.dumps(value, json_options=options, separators=(",", ":"), ensure_ascii=False))


def metadata_of(client, database, info):
    fields = SON()
    if info.get("options"):
        fields["options"] = info["options"]
    is_view = info["type"] == "view"
    indexes = [] if is_view else client[database][info["name"]].list_indexes()
    fields["indexes"] = [SON((key, value) for key, value in index.items() if key != "ns") for index in indexes]
    if "uuid" in info.get("info", {}):
        fields["uuid"] = bytes(info["info"]["uuid"]).hex()
    fields["collectionName"], fields["type"] = info["name"], info["type"]
    return fields


def write_documents(path, cursor):
    with open(path, "wb") as out:
        for document in cursor:
            out.write(document.raw)


def dump(client, raw, out, with_oplog):
    oplog = raw.local["oplog.rs"]
    start = list(client.local["oplog.rs"].find().sort("$natural", -1).limit(1))[0]["ts"] if with_oplog else None
    os.makedirs(out, exist_ok=True)
    versions = '{"ServerVersion":"%s","ToolVersion":"100.18.0"}' % client.server_info()["version"]
    with open(f"{out}/prelude.json", "w", encoding="utf-8") as prelude:
        prelude.write(versions)
    for database in client.list_database_names():
        if database in ("local", "config", "admin"):
            continue
        os.makedirs(f"{out}/{database}", exist_ok=True)
        for info in client[database].list_collections():
            if info["name"].startswith("system."):
                continue
            path = f"{out}/{database}/{file_name(info['name'])}"
            write_json(path + ".metadata.json", metadata_of(client, database, info))
            if info["type"] != "view":
                write_documents(path + ".bson", raw[database][info["name"]].find(hint=[("$natural", 1)]))
    if with_oplog:
        change(client, 0.1)
        write_documents(f"{out}/oplog.bson", oplog.find({"ts": {"$gt": start}}))


def load(raw, path, collection):
    with open(path, "rb") as documents:
        decoded = [RawBSONDocument(bytes(document.raw)) for document in bson.decode_file_iter(documents, RAW)]
    raw.shop[collection].drop()
    for start in range(0, len(decoded), 1000):
        raw.shop[collection].insert_many(decoded[start:start + 1000])


def export(client, collection):
    options = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, document_class=SON)
    for document in client.shop.get_collection(collection, bson.CodecOptions(document_class=SON)).find():
        print(json_util.dumps(document, json_options=options, separators=(",", ":"), ensure_ascii=False))


def put(client, path, collection):
    options = json_util.JSONOptions(json_mode=json_util.JSONMode.CANONICAL, document_class=SON)
    client.shop[collection].drop()
    with open(path, encoding="utf-8", newline="\n") as lines:
        client.shop[collection].insert_many([json_util.loads(line, json_options=options) for line in lines])


def compare(raw, one, other):
    documents = [{bytes(document.raw) for document in raw.shop[name].find()} for name in (one, other)]
    print("same" if documents[0] == documents[1] and documents[0] else "different")


RAW = bson.CodecOptions(document_class=RawBSONDocument)


def main():
    port, verb, *words = sys.argv[1:]
    place = f"mongodb://127.0.0.1:{port}/"
    client = pymongo.MongoClient(place, directConnection=True, serverSelectionTimeoutMS=20000)
    raw = pymongo.MongoClient(place, directConnection=True, document_class=RawBSONDocument)
    if verb == "fill":
        fill(client, int(words[0]))
    elif verb == "change":
        change(client, float(words[0]))
    elif verb == "dump":
        dump(client, raw, words[0], "--oplog" in words)
    elif verb == "load":
        load(raw, words[0], words[1])
    elif verb == "export":
        export(client, words[0])
    elif verb == "import":
        put(client, words[0], words[1])
    elif verb == "user":
        client.admin.command("createUser", words[0], pwd=words[1], roles=[{"role": "root", "db": "admin"}])
    elif verb == "compare":
        compare(raw, words[0], words[1])
    else:
        sys.exit(__doc__)


main()
