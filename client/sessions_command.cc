// tlin sessions: what is kept on the server, and what to do with it.
#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "client/command_support.h"
#include "client/event_json.h"
#include "client/exit_code.h"
#include "nlohmann/json.hpp"

namespace tlin::client {
namespace {

constexpr char kSessionsAbout[] =
    "Sessions on the server: token sequences that go on with --session_id.\n\n"
    "  list             all of them, the least recently used first\n"
    "  show ID          one\n"
    "  create [ID]      an empty one; without ID the server names it\n"
    "  fork ID [NEW]    a new one with the same tokens and state\n"
    "  delete ID        gone\n"
    "  export ID FILE   its tokens and state, for a server of the same model; "
    "- "
    "is stdout\n"
    "  import FILE [ID] a new one from such a file; - is stdin\n";

const char* StateName(v1::Session::State state) {
  switch (state) {
    case v1::Session::ACTIVE:
      return "active";
    case v1::Session::IDLE:
      return "idle";
    case v1::Session::STORED:
      return "stored";
    default:
      return "unknown";
  }
}

absl::Time TimeOf(const google::protobuf::Timestamp& wire) {
  return absl::FromUnixSeconds(wire.seconds()) +
         absl::Nanoseconds(wire.nanos());
}

nlohmann::ordered_json SessionJson(const v1::Session& session) {
  const auto time = [](const google::protobuf::Timestamp& wire) {
    return absl::FormatTime(absl::RFC3339_sec, TimeOf(wire),
                            absl::UTCTimeZone());
  };
  return {{"session_id", session.session_id()},
          {"state", StateName(session.state())},
          {"tokens", session.tokens()},
          {"host_bytes", session.host_bytes()},
          {"device_bytes", session.device_bytes()},
          {"durable", session.durable()},
          {"created", time(session.created())},
          {"last_used", time(session.last_used())}};
}

void PrintTable(const google::protobuf::RepeatedPtrField<v1::Session>& sessions,
                std::ostream& out) {
  size_t width = 7;
  for (const v1::Session& session : sessions) {
    width = std::max(width, session.session_id().size());
  }
  const auto column = static_cast<int>(width);
  out << absl::StrFormat("%-*s  %-6s  %10s  %12s  %s\n", column, "session",
                         "state", "tokens", "host bytes", "unused");
  for (const v1::Session& session : sessions) {
    const absl::Duration unused = absl::Now() - TimeOf(session.last_used());
    out << absl::StrFormat(
        "%-*s  %-6s  %10d  %12d  %s\n", column, session.session_id(),
        StateName(session.state()), session.tokens(), session.host_bytes(),
        absl::FormatDuration(absl::Trunc(std::max(unused, absl::ZeroDuration()),
                                         absl::Seconds(1))));
  }
}

class SessionsCommand {
 public:
  SessionsCommand(const ServerFlags& server, std::string model, Io& io)
      : server_(server),
        model_(std::move(model)),
        io_(io),
        client_(server.connection()) {}

  // `rest`: the action and its ids.
  int Run(const Args& rest) {
    if (rest.empty())
      return UsageError(
          "want list, show, create, fork, delete, export or "
          "import",
          io_);
    const std::string& action = rest[0];
    const size_t ids = rest.size() - 1;
    const auto takes = [&](const char* name, size_t least, size_t most) {
      return action == name && ids >= least && ids <= most;
    };
    if (takes("list", 0, 0)) return List();
    if (takes("show", 1, 1)) {
      return Show(client_.GetSession(Named<v1::GetSessionRequest>(rest[1]),
                                     server_.call_options()));
    }
    if (takes("create", 0, 1)) {
      return Show(client_.CreateSession(
          Named<v1::CreateSessionRequest>(ids == 1 ? rest[1] : ""),
          server_.call_options()));
    }
    if (takes("fork", 1, 2)) {
      auto request = Named<v1::ForkSessionRequest>(rest[1]);
      if (ids == 2) request.set_new_session_id(rest[2]);
      return Show(client_.ForkSession(request, server_.call_options()));
    }
    if (takes("delete", 1, 1)) {
      const absl::Status status = client_.DeleteSession(
          Named<v1::DeleteSessionRequest>(rest[1]), server_.call_options());
      return status.ok() ? Done(io_) : Fail(status, server_.json, io_);
    }
    if (takes("export", 2, 2)) return Export(rest[1], rest[2]);
    if (takes("import", 1, 2)) return Import(rest[1], ids == 2 ? rest[2] : "");
    return UsageError(absl::StrCat("'", action, "' with ", ids,
                                   " ids: tlin sessions --help tells what "
                                   "each action takes"),
                      io_);
  }

 private:
  template <class RequestT>
  RequestT Named(const std::string& id) const {
    RequestT request;
    request.set_model(model_);
    request.set_session_id(id);
    return request;
  }

  int List() {
    v1::ListSessionsRequest request;
    request.set_model(model_);
    const auto list = client_.ListSessions(request, server_.call_options());
    if (!list.ok()) return Fail(list.status(), server_.json, io_);
    if (server_.json) {
      for (const v1::Session& session : list->sessions()) {
        io_.out << OneLine(SessionJson(session)) << "\n";
      }
    } else {
      PrintTable(list->sessions(), io_.out);
    }
    return Done(io_);
  }

  int Show(const absl::StatusOr<v1::Session>& session) {
    if (!session.ok()) return Fail(session.status(), server_.json, io_);
    const nlohmann::ordered_json json = SessionJson(*session);
    if (server_.json) {
      io_.out << OneLine(json) << "\n";
    } else {
      io_.out << FieldLines(json);
    }
    return Done(io_);
  }

  int Export(const std::string& id, const std::string& path) {
    std::string snapshot;
    const absl::Status status = client_.ExportSession(
        Named<v1::ExportSessionRequest>(id), &snapshot, server_.call_options());
    if (!status.ok()) return Fail(status, server_.json, io_);
    if (path == "-") {
      io_.out << snapshot;
      return Done(io_);
    }
    std::ofstream file(path, std::ios::binary);
    file << snapshot << std::flush;
    if (file) return Done(io_);
    io_.err << io_.program << ": " << path << " could not be written"
            << std::endl;
    return kExitOutput;
  }

  int Import(const std::string& path, const std::string& id) {
    std::ifstream file;
    if (path != "-") {
      file.open(path, std::ios::binary);
      if (!file) {
        return UsageError(absl::StrCat(path, ": cannot be read"), io_);
      }
    }
    std::istream& in = path == "-" ? io_.in : file;
    const std::string snapshot((std::istreambuf_iterator<char>(in)), {});
    return Show(
        client_.ImportSession(model_, id, snapshot, server_.call_options()));
  }

  const ServerFlags& server_;
  const std::string model_;
  Io& io_;
  Client client_;
};

}  // namespace

int RunSessions(const Args& args, Io& io) {
  ServerFlags server;
  std::string model;
  FlagSet flags(
      "tlin sessions list|show|create|fork|delete|export|import [ID] "
      "[flags]",
      kSessionsAbout);
  server.AddTo(&flags);
  flags.Add("model", &model, "Name of the model; empty: the server's default.");
  Args rest;
  if (const auto exit = ParseFlags(args, &flags, io, &rest)) return *exit;
  return SessionsCommand(server, model, io).Run(rest);
}

}  // namespace tlin::client
