//! A query is SQL that the cluster runs, and the stream of what comes back. A server ends every stream after two minutes
//! or a gigabyte, and expects to be asked for the rest; the client's own iterators take that for the end of the result.
//! So this one goes on until the server says that the result is complete.

use std::sync::{
    Arc,
    mpsc::{self, Sender},
};

use arrow::{array::AsArray, ipc::reader::StreamReader};
use spark_connect::SparkError;
use spark_connect_core::{ExecutePlanResponseReattachableIterator as Position, SparkConnectClient, get_runtime};
use spark_connect_proto::{
    ExecutePlanRequest, Plan, Relation, Sql, UserContext,
    execute_plan_response::{ExecutionProgress, ResponseType},
    plan::OpType,
    relation::RelType,
};

use super::{fault, wait::Wait};

pub(super) enum News {
    /// Tasks that are done, of all.
    Tasks(i64, i64),
    /// A row of the result: its columns, which are text.
    Row(Vec<String>),
}

/// Is handed what comes from a query; ends it by an error.
pub(super) type OnNews<'a> = &'a mut dyn FnMut(News) -> anyhow::Result<()>;

/// News of a query, or nothing when it is over, or the error that ended it.
pub(super) type Message = Result<Option<News>, SparkError>;

pub(super) fn start(client: Arc<SparkConnectClient>, session: &str, sql: String) -> mpsc::Receiver<Message> {
    let relation = Relation { rel_type: Some(RelType::Sql(Sql { query: sql, ..Sql::default() })), common: None };
    let request = ExecutePlanRequest {
        session_id: session.into(),
        user_context: Some(UserContext::default()),
        plan: Some(Plan { op_type: Some(OpType::Root(relation)) }),
        ..ExecutePlanRequest::default()
    };
    let (sender, messages) = mpsc::channel();
    // It ends by itself when nobody listens any more, at the next message or when it is cancelled.
    get_runtime().spawn(async move {
        let end = run(&client, Position::new(request), &sender).await;
        let _ = sender.send(end.map(|()| None));
    });
    messages
}

/// Hands on what comes from a query, until it is over.
pub(super) fn follow(
    messages: &mpsc::Receiver<Message>,
    mut wait: Wait<'_>,
    on_news: OnNews<'_>,
) -> anyhow::Result<()> {
    let mut most_done = 0;
    while let Some(news) = wait.next(messages)?.map_err(fault::report)? {
        match news {
            News::Tasks(done, _) if done <= most_done => {}
            News::Tasks(done, _) => {
                most_done = done;
                wait.has_progressed();
            }
            News::Row(_) => wait.has_progressed(),
        }
        on_news(news)?;
    }
    Ok(())
}

/// Receives the result from its beginning to its end, over as many streams as it takes.
async fn run(client: &SparkConnectClient, position: Position, sender: &Sender<Message>) -> Result<(), SparkError> {
    let mut stream = client.execute_plan(position.request().clone()).await?;
    loop {
        let response = match stream.message().await.map_err(SparkError::from_grpc_status) {
            Ok(Some(response)) => response,
            Err(error) if !fault::is_lost_connection(&error) => return Err(error),
            Ok(None) | Err(_) => {
                stream = client.reattach_execute(position.create_reattach_request().await).await?;
                continue;
            }
        };
        position.set_last_response_id(&response).await;
        let tell = |news| sender.send(Ok(Some(news)));
        let told = match response.response_type {
            Some(ResponseType::ArrowBatch(batch)) => rows(&batch.data)?.into_iter().map(News::Row).try_for_each(tell),
            Some(ResponseType::ExecutionProgress(progress)) => tell(tasks(&progress)),
            Some(ResponseType::ResultComplete(_)) => {
                // The server has kept the result in case that it was asked for again.
                let _ = client.release_execute(position.create_release_request(true).await).await;
                return Ok(());
            }
            _ => Ok(()),
        };
        if told.is_err() {
            return Ok(()); // Nobody listens any more.
        }
    }
}

fn tasks(progress: &ExecutionProgress) -> News {
    let done = progress.stages.iter().map(|stage| stage.num_completed_tasks).sum();
    let all = progress.stages.iter().map(|stage| stage.num_tasks).sum();
    News::Tasks(done, all)
}

fn rows(data: &[u8]) -> Result<Vec<Vec<String>>, SparkError> {
    let broken = |error| SparkError::connect_msg(format!("the result cannot be read: {error}"));
    let mut rows = Vec::new();
    for batch in StreamReader::try_new(data, None).map_err(broken)? {
        let batch = batch.map_err(broken)?;
        // A column of another kind, or a missing value, reads as nothing, which is no reply.
        let columns: Vec<_> = batch.columns().iter().map(|column| column.as_string_opt::<i32>()).collect();
        for row in 0..batch.num_rows() {
            let value = |column: &Option<&arrow::array::StringArray>| {
                column.map_or_else(String::new, |column| column.value(row).to_owned())
            };
            rows.push(columns.iter().map(value).collect());
        }
    }
    Ok(rows)
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}
