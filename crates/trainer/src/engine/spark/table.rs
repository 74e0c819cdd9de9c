//! The partitions as a table: every sample with its partition and its place there.

use std::collections::BTreeSet;

use anyhow::{Context, bail};
use process::exit::{Code, OrExit};
use spark_connect::{
    DataFrame, DataType, SparkError, SparkSession, StorageLevel, StorageLevelExt, col,
    functions::expr,
    row::{Row, Value},
};

use store::StreamEntry;

use super::{
    Placement,
    cluster::Cluster,
    query::{News, quoted},
    wait::GoOn,
};

/// The name of the table. It belongs to the session, as those that it is made of.
pub(super) const PARTITIONS: &str = "tributary_partitions";
const CHUNKS: &str = "tributary_chunks";
const PLACES: &str = "tributary_places";
/// Enough rows for Spark to share out.
const SAMPLES_A_ROW: usize = 4096;
/// 4 MB: a message may have 128 MiB, and takes fifty times its size here while it is made.
const ROWS_A_MESSAGE: usize = 256;
/// Spark takes the places for small, whatever they are, and would have every executor hold all of them to join them with
/// the chunks. With more samples it is to sort both instead; a server of 1 GB can do without up to three million.
const MAX_BROADCAST: usize = 2_000_000;
/// Samples that a worker trains on, once or in local epochs, in about 8 s. To start one takes a third of a second: a task
/// with more of them gains little, and makes the round wait longer where it is slow.
const SAMPLES_A_TASK: u64 = 20_000;

/// Makes the table of samples that are in these chunks of the directory `uri`; `whole` says that it holds no others. Spark reads
/// them when it is first asked for the samples.
pub(super) fn prepare(
    cluster: &Cluster,
    uri: &str,
    (chunks, whole): (&BTreeSet<String>, bool),
    placement: Placement,
    tasks: u32,
    go_on: GoOn<'_>,
) -> anyhow::Result<DataFrame> {
    let path = if whole { literal(uri) } else { some_of(uri, chunks) };
    // Not by the client's own means: to look at the chunks can take as long as a query.
    let sql = format!("CREATE OR REPLACE TEMPORARY VIEW {CHUNKS} USING parquet OPTIONS (path {})", quoted(&path));
    cluster.query(sql, go_on, &mut |_| Ok(())).context("failed to look at the chunks")?;
    let files = cluster.call("list the chunks", go_on, |session| session.table(CHUNKS)?.input_files())?;
    check_files(&files, chunks).or_exit(Code::Data)?;
    tracing::debug!("{} partitions in {tasks} tasks", placement.ranges.len());
    cluster.call("plan the partitions", go_on, move |session| plan(session, placement, tasks))
}

/// Has the executors keep the table, partition by partition.
pub(super) fn keep(cluster: &Cluster, table: DataFrame, go_on: GoOn<'_>) -> anyhow::Result<DataFrame> {
    cluster.call("keep the partitions", go_on, move |_| {
        let table = table.persist(StorageLevel::memory_and_disk())?;
        table.create_or_replace_temp_view(PARTITIONS)?;
        Ok(table)
    })
}

/// The pattern of these files in a directory, as Hadoop reads it.
fn some_of(uri: &str, chunks: &BTreeSet<String>) -> String {
    let names: Vec<&str> = chunks.iter().map(String::as_str).collect();
    format!("{}/{{{}}}", literal(uri.trim_end_matches('/')), names.join(","))
}

/// The path as Hadoop reads it where it looks for patterns: each character of one stands for itself.
fn literal(path: &str) -> String {
    let escaped = |character: char| match character {
        '\\' | '*' | '?' | '[' | ']' | '{' | '}' => vec!['\\', character],
        _ => vec![character],
    };
    path.chars().flat_map(escaped).collect()
}

/// The tasks that Spark makes of all when nobody says how many: as many as it has cores.
pub(super) fn cores(cluster: &Cluster, go_on: GoOn<'_>) -> anyhow::Result<u32> {
    let sql = "SELECT CAST(max(task) + 1 AS STRING) FROM (SELECT spark_partition_id() AS task FROM range(100000))";
    let mut cores = None;
    cluster.query(sql.into(), go_on, &mut |news| {
        if let News::Row(row) = news {
            cores = row.first().and_then(|count| count.parse().ok());
        }
        Ok(())
    })?;
    cores.context("Spark does not say how many cores it has").or_exit(Code::Unavailable)
}

/// How many tasks so many partitions make, which train on so many samples: one for each core, or several if these would
/// take long, but no more, since each starts a worker in every round.
pub(super) fn tasks(partitions: u32, cores: u32, samples: u64) -> u32 {
    let cores = u64::from(cores.max(1));
    let waves = samples.div_ceil(cores.saturating_mul(SAMPLES_A_TASK)).max(1);
    u64::from(partitions).min(cores.saturating_mul(waves)) as u32
}

/// Checks that these are the chunks. Their names carry digests, so other chunks have other names.
fn check_files(files: &[String], expected: &BTreeSet<String>) -> anyhow::Result<()> {
    let found: BTreeSet<String> = files.iter().filter_map(|file| file.rsplit('/').next().map(str::to_owned)).collect();
    if let Some(missing) = expected.difference(&found).next() {
        bail!("`{missing}` is not there; is it the same directory as --dir?");
    }
    if let Some(other) = found.difference(expected).next() {
        bail!("--dir does not know `{}`, which is there", other.escape_debug());
    }
    Ok(())
}

/// Brings every sample to the task of its partition, partition by partition. Images are as the workers get them.
fn plan(session: &SparkSession, placement: Placement, tasks: u32) -> Result<DataFrame, SparkError> {
    let (count, smaller) = (placement.ranges.len(), placement.ranges.last().map_or(1, ExactSizeIterator::len));
    let larger = placement.ranges.iter().filter(|range| range.len() > smaller).count();
    let border = larger * (smaller + 1);
    let all = placement.ranges.last().map_or(0, |range| range.end);
    let hint = if all > MAX_BROADCAST { "/*+ MERGE(p) */" } else { "" };
    let places = places(session, placement)?;
    // Sessions share what is cached: what a killed run with the same plan has left there may be other samples.
    let own = quoted(session.session_id());
    // Base64 of Spark may break lines.
    let table = session.sql(&format!(
        "SELECT {hint}
                CAST(IF(slot < {border}, slot DIV {large}, {larger} + (slot - {border}) DIV {smaller}) AS INT) AS part,
                CAST(IF(slot < {border}, slot % {large}, (slot - {border}) % {smaller}) AS INT) AS place,
                c.seq, c.label, translate(base64(c.image), concat(char(13), char(10)), '') AS image
         FROM {CHUNKS} AS c JOIN
              (SELECT stream, first + offset AS seq, slot
               FROM ({places}) LATERAL VIEW posexplode(slots) AS offset, slot) AS p
         ON c.stream = p.stream AND c.seq = p.seq
         WHERE {own} IS NOT NULL",
        large = smaller + 1,
    ))?;
    let task = expr(&format!("CAST(part * {tasks}L DIV {count} AS INT)"));
    let table = table.repartition_by_id(tasks as i32, task);
    let table = table.sort_within_partitions(vec![col("part").asc().expression().clone()]);
    table.create_or_replace_temp_view(PARTITIONS)?;
    Ok(table)
}

/// Sends the places to the server; returns a query for them: stream, index of a first sample, and the places of the
/// samples from there.
fn places(session: &SparkSession, placement: Placement) -> Result<String, SparkError> {
    let pieces: Vec<_> = placement.streams.iter().flat_map(|(stream, places)| rows(stream, places)).collect();
    let names = || ["stream", "first", "slots"].map(str::to_owned).to_vec();
    let row = |&(stream, first, places): &(&String, u64, &[u32])| {
        let places = places.iter().map(|&place| Value::Integer(place as i32)).collect();
        Row::new(names(), vec![Value::String(stream.clone()), Value::Long(first as i64), Value::List(places)])
    };
    let mut queries = Vec::new();
    for (index, pieces) in pieces.chunks(ROWS_A_MESSAGE).enumerate() {
        let schema = DataType::from_ddl("stream string, first bigint, slots array<int>")?;
        let table = session.create_dataframe(pieces.iter().map(row).collect(), schema)?;
        table.create_or_replace_temp_view(&format!("{PLACES}_{index}"))?;
        queries.push(format!("SELECT * FROM {PLACES}_{index}"));
    }
    Ok(queries.join(" UNION ALL "))
}

/// The rows that say the places of a stream's samples: its name, the seq of a first sample, and the places from there.
fn rows<'a>(stream: &'a StreamEntry, places: &'a [u32]) -> Vec<(&'a String, u64, &'a [u32])> {
    let mut left = places;
    let pieces = stream.extent().pieces(stream.first..stream.end).flat_map(|(first, count)| {
        let places;
        (places, left) = left.split_at(count as usize);
        let firsts = (first..).step_by(SAMPLES_A_ROW);
        firsts.zip(places.chunks(SAMPLES_A_ROW)).map(|(first, places)| (&stream.name, first, places))
    });
    pieces.collect()
}

#[cfg(test)]
mod tests {
    use sample::Extent;

    use super::*;

    #[test]
    fn a_row_says_places_of_samples_with_consecutive_seqs() {
        let dealt = StreamEntry::new("a", Extent { first: 10, end: Some(15), block: 2, stride: 6 });
        let expect = [(&dealt.name, 10, &[1, 2][..]), (&dealt.name, 16, &[3, 4]), (&dealt.name, 22, &[5])];
        assert_eq!(rows(&dealt, &[1, 2, 3, 4, 5]), expect);
        let whole = StreamEntry::new("a", Extent::range(10..10 + 2 * SAMPLES_A_ROW as u64 + 1));
        let firsts: Vec<u64> = rows(&whole, &vec![0; 2 * SAMPLES_A_ROW + 1]).iter().map(|row| row.1).collect();
        assert_eq!(firsts, [10, 10 + SAMPLES_A_ROW as u64, 10 + 2 * SAMPLES_A_ROW as u64]);
    }

    #[test]
    fn there_are_no_more_tasks_than_cores_need_unless_they_would_take_long() {
        for ((partitions, cores, samples), expect) in [
            ((12, 2, 20_000), 2),
            ((12, 2, 40_001), 4),
            ((2, 2, 20_000), 2),
            ((3, 8, 20_000), 3),
            ((1024, 8, 1_000_000), 56),
            ((1024, 100, 1_000_000), 100),
            ((1024, 8, u64::MAX), 1024),
            ((5, 0, 0), 1),
        ] {
            assert_eq!(tasks(partitions, cores, samples), expect, "{partitions} {cores} {samples}");
        }
    }

    #[test]
    fn no_part_of_a_path_is_a_pattern() {
        for (path, expect) in [
            ("/data/streaming_input", "/data/streaming_input"),
            ("/runs [1]/x", r"/runs \[1\]/x"),
            ("/{a,b}/*?", r"/\{a,b\}/\*\?"),
            (r"/back\slash", r"/back\\slash"),
            ("s3a://bucket/été(2)^", "s3a://bucket/été(2)^"),
        ] {
            assert_eq!(literal(path), expect);
        }
    }

    #[test]
    fn other_files_than_the_manifests_are_refused() {
        let names = ["chunk-00000000-6437b3ac38465133.parquet", "chunk-00000001-0123456789abcdef.parquet"];
        let expected = names.map(String::from).into();
        let at = |root: &str, name: &str| format!("{root}/{name}");
        let files = names.map(|name| at("file:/x y", name));
        check_files(&files, &expected).unwrap();
        let error = check_files(&files[1..], &expected).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{}` is not there", names[0])), "{error}");
        let more = [&files[..], &[at("s3a://b", "chunk-00000007-0123456789abcdef.parquet")]].concat();
        let error = check_files(&more, &expected).unwrap_err().to_string();
        assert!(error.contains("--dir does not know `chunk-00000007-0123456789abcdef.parquet`"), "{error}");
    }
}
