//! The partitions as a table that the executors keep: every sample of the chunk directory with its partition and its
//! place there.

use anyhow::Context;
use spark_connect::{
    DataFrame, DataType, SparkError, SparkSession, StorageLevel, StorageLevelExt, col,
    row::{Row, Value},
};

use super::{Placement, cluster::Cluster, query::quoted, wait::GoOn};

/// The name of the table. It belongs to the session, as those that it is made of.
pub(super) const PARTITIONS: &str = "tributary_partitions";
const CHUNKS: &str = "tributary_chunks";
const PLACES: &str = "tributary_places";

/// Makes the table of the chunks at `uri`. Spark reads them when it is first asked for the samples.
///
/// # Errors
/// When Spark finds no chunks there, and those of [`Cluster::query`].
pub(super) fn prepare(
    cluster: &Cluster,
    uri: &str,
    placement: Placement,
    go_on: GoOn<'_>,
) -> anyhow::Result<DataFrame> {
    // Not by the client's own means: to look at the chunks can take as long as a query.
    let sql = format!("CREATE TEMPORARY VIEW {CHUNKS} USING parquet OPTIONS (path {})", quoted(uri));
    cluster.query(sql, go_on, &mut |_| Ok(())).context("failed to look at the chunks")?;
    cluster.call("plan the partitions", go_on, move |session| partitions(session, placement))
}

/// Brings every sample to its partition, and has it kept there. Images are kept as the workers get them.
fn partitions(session: &SparkSession, placement: Placement) -> Result<DataFrame, SparkError> {
    let (count, smaller) = (placement.ranges.len(), placement.ranges.last().map_or(1, ExactSizeIterator::len));
    let larger = placement.ranges.iter().filter(|range| range.len() > smaller).count();
    let border = larger * (smaller + 1);
    places(session, placement)?.create_or_replace_temp_view(PLACES)?;
    // Base64 of Spark may break lines.
    let table = session.sql(&format!(
        "SELECT CAST(IF(slot < {border}, slot DIV {large}, {larger} + (slot - {border}) DIV {smaller}) AS INT) AS part,
                CAST(IF(slot < {border}, slot % {large}, (slot - {border}) % {smaller}) AS INT) AS place,
                c.seq, c.label, translate(base64(c.image), concat(char(13), char(10)), '') AS image
         FROM {CHUNKS} AS c JOIN
              (SELECT stream, first + offset AS seq, slot
               FROM {PLACES} LATERAL VIEW posexplode(slots) AS offset, slot) AS p
         ON c.stream = p.stream AND c.seq = p.seq",
        large = smaller + 1,
    ))?;
    let table = table.repartition_by_id(count as i32, col("part"));
    let table = table.persist(StorageLevel::memory_and_disk())?;
    table.create_or_replace_temp_view(PARTITIONS)?;
    Ok(table)
}

/// The places as a table: stream, index of a first sample, and the places of the samples from there.
fn places(session: &SparkSession, placement: Placement) -> Result<DataFrame, SparkError> {
    /// Samples a row; enough rows for Spark to share out.
    const SAMPLES: usize = 4096;
    let names = || ["stream", "first", "slots"].map(str::to_owned).to_vec();
    let mut rows = Vec::new();
    for (stream, places) in placement.streams {
        for (index, places) in places.chunks(SAMPLES).enumerate() {
            let first = stream.first + (index * SAMPLES) as u64;
            let places = places.iter().map(|&place| Value::Integer(place as i32)).collect();
            rows.push(Row::new(
                names(),
                vec![Value::String(stream.name.clone()), Value::Long(first as i64), Value::List(places)],
            ));
        }
    }
    session.create_dataframe(rows, DataType::from_ddl("stream string, first bigint, slots array<int>")?)
}
