#include "client/request_flags.h"

namespace tlin::client {

void SamplingFlags::AddTo(FlagSet* flags) {
  flags->Add("model", &model,
             "Name of the model; empty: the server's default.");
  flags->Add("temperature", &temperature,
             "0 to 100; default 1; 0 takes the likeliest token.");
  flags->Add("top_k", &top_k, "Draw from the k likeliest; default 0: all.");
  flags->Add("top_p", &top_p,
             "Draw from the likeliest that make up this share; default 1.");
  flags->Add("min_p", &min_p,
             "Leave out tokens below this share of the likeliest; default 0.");
  flags->Add("repetition_penalty", &repetition_penalty,
             "Divides the logits of tokens that occurred; default 1.");
  flags->Add("frequency_penalty", &frequency_penalty,
             "Taken off once an occurrence, -100 to 100; default 0.");
  flags->Add("presence_penalty", &presence_penalty,
             "Taken off once, -100 to 100; default 0.");
  flags->Add("seed", &seed, "Default: the server draws one and tells it.");
  flags->Add("max_new_tokens", &max_new_tokens, "Default 256.");
  flags->Add("min_new_tokens", &min_new_tokens,
             "No end before that many tokens; default 0.");
  flags->Add("stop", &stop, "End before this string; may be given 16 times.");
  flags->Add("stop_token_ids", &stop_token_ids, "End at these tokens: 1,2,3.");
  flags->Add("ignore_eos", &ignore_eos, "Go on after the model's end token.");
  flags->Add("priority", &priority, "Higher goes sooner; default 0.");
  flags->Add("bypass_prefix_cache", &bypass_prefix_cache,
             "Compute the prompt anew even where its state is known.");
}

void SamplingFlags::FillIn(v1::GenerateRequest* request) const {
  request->set_model(model);
  v1::Sampling* sampling = request->mutable_sampling();
  if (temperature) sampling->set_temperature(*temperature);
  if (top_k) sampling->set_top_k(*top_k);
  if (top_p) sampling->set_top_p(*top_p);
  if (min_p) sampling->set_min_p(*min_p);
  if (repetition_penalty) {
    sampling->set_repetition_penalty(*repetition_penalty);
  }
  if (frequency_penalty) sampling->set_frequency_penalty(*frequency_penalty);
  if (presence_penalty) sampling->set_presence_penalty(*presence_penalty);
  if (seed) sampling->set_seed(*seed);
  v1::Stopping* stopping = request->mutable_stopping();
  if (max_new_tokens) stopping->set_max_new_tokens(*max_new_tokens);
  if (min_new_tokens) stopping->set_min_new_tokens(*min_new_tokens);
  for (const std::string& text : stop) stopping->add_stop(text);
  for (int32_t id : stop_token_ids) stopping->add_stop_token_ids(id);
  if (ignore_eos) stopping->set_ignore_eos(*ignore_eos);
  if (priority) request->set_priority(*priority);
  request->set_bypass_prefix_cache(bypass_prefix_cache);
}

void RequestFlags::AddTo(FlagSet* flags) {
  flags->Add("token_ids", &token_ids, "The prompt as tokens, no text: 1,2,3.");
  SamplingFlags::AddTo(flags);
  flags->Add("session_id", &session_id,
             "Continue this session; empty: nothing is kept.");
  flags->Add("include_stop", &include_stop,
             "Let the stop string be part of the text.");
  flags->Add("logprobs", &logprobs,
             "With --json: the k likeliest beside each token, up to 128.");
  flags->Add("token_ids_only", &token_ids_only,
             "Print token numbers instead of text.");
}

void RequestFlags::FillIn(v1::GenerateRequest* request) const {
  SamplingFlags::FillIn(request);
  request->set_session_id(session_id);
  if (include_stop)
    request->mutable_stopping()->set_include_stop(*include_stop);
  v1::Output* output = request->mutable_output();
  if (logprobs) output->set_logprobs(*logprobs);
  if (token_ids_only) output->set_token_ids_only(*token_ids_only);
}

}  // namespace tlin::client
