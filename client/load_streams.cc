#include "client/load_streams.h"

#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "client/rpc_status.h"
#include "tlin/v1/generation.grpc.pb.h"

namespace tlin::client {

class LoadStreams::Impl {
 public:
  Impl(const Connection& connection,
       std::function<void(const StreamRecord&)> on_done)
      : stub_(MakeChannel(connection)),
        on_done_(std::move(on_done)),
        thread_([this] { Work(); }) {}

  ~Impl() {
    CancelAll();
    Wait();
    queue_.Shutdown();
    thread_.join();
  }

  void Start(const v1::GenerateRequest& request, SteadyTime due,
             absl::Duration deadline) {
    auto stream = std::make_unique<Stream>();
    stream->record.due = due;
    stream->record.sent = std::chrono::steady_clock::now();
    stream->context.set_deadline(absl::ToChronoTime(absl::Now() + deadline));
    stream->reader =
        stub_.PrepareAsyncGenerate(&stream->context, request, &queue_);
    Stream* const tag = stream.release();  // Work() deletes it
    {
      std::lock_guard<std::mutex> lock(mutex_);
      running_.insert(tag);
    }
    tag->reader->StartCall(tag);
  }

  void CancelAll() {
    std::lock_guard<std::mutex> lock(mutex_);
    for (Stream* stream : running_) stream->context.TryCancel();
  }

  void Wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    ended_.wait(lock, [this] { return running_.empty(); });
  }

 private:
  // One operation at a time; the stream itself is the tag.
  struct Stream {
    enum { kStarting, kReading, kFinishing } step = kStarting;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientAsyncReader<v1::GenerateResponse>> reader;
    v1::GenerateResponse event;
    grpc::Status status;
    bool finished = false;  // the server said so
    SteadyTime last_chunk;
    StreamRecord record;
  };

  void Work() {
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
      Advance(static_cast<Stream*>(tag), ok);
    }
  }

  void Advance(Stream* stream, bool ok) {
    switch (stream->step) {
      case Stream::kReading:
        if (ok) TakeIn(stream);
        [[fallthrough]];
      case Stream::kStarting:
        if (ok) {
          stream->step = Stream::kReading;
          stream->reader->Read(&stream->event, stream);
        } else {
          stream->step = Stream::kFinishing;
          stream->reader->Finish(&stream->status, stream);
        }
        return;
      case Stream::kFinishing:
        End(stream);
    }
  }

  static void TakeIn(Stream* stream) {
    StreamRecord& record = stream->record;
    const v1::GenerateResponse& event = stream->event;
    if (event.has_started()) {
      record.prompt_tokens = event.started().prompt_tokens();
    } else if (event.has_finished()) {
      stream->finished = true;
      record.reason = event.finished().reason();
    } else if (event.chunk().token_ids_size() > 0) {
      const SteadyTime now = std::chrono::steady_clock::now();
      if (record.generated_tokens == 0) {
        record.first_token = now;
      } else {
        record.gaps.push_back(absl::FromChrono(now - stream->last_chunk));
      }
      stream->last_chunk = now;
      record.generated_tokens += event.chunk().token_ids_size();
    }
  }

  void End(Stream* stream) {
    StreamRecord& record = stream->record;
    record.end = std::chrono::steady_clock::now();
    record.status = FromGrpcStatus(stream->status);
    if (record.status.ok() && !stream->finished) {
      record.status = absl::InternalError("the answer ended without Finished");
    }
    on_done_(record);
    {
      // Cancelling looks at the stream under this lock, so it goes under it.
      std::lock_guard<std::mutex> lock(mutex_);
      running_.erase(stream);
      delete stream;
      ended_.notify_all();
    }
  }

  v1::Generation::Stub stub_;
  const std::function<void(const StreamRecord&)> on_done_;
  grpc::CompletionQueue queue_;

  std::mutex mutex_;
  std::condition_variable ended_;
  std::set<Stream*> running_;  // guarded by mutex_; owned by their tags

  std::thread thread_;  // last: it uses the rest
};

LoadStreams::LoadStreams(const Connection& connection,
                         std::function<void(const StreamRecord&)> on_done)
    : impl_(std::make_unique<Impl>(connection, std::move(on_done))) {}

LoadStreams::~LoadStreams() = default;

void LoadStreams::Start(const v1::GenerateRequest& request, SteadyTime due,
                        absl::Duration deadline) {
  impl_->Start(request, due, deadline);
}

void LoadStreams::CancelAll() { impl_->CancelAll(); }

void LoadStreams::Wait() { impl_->Wait(); }

}  // namespace tlin::client
