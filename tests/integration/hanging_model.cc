// LoadModel of a daemon whose model hangs in its first step: what a stuck
// device looks like from outside.
#include "engine/load_engine.h"
#include "tests/testing/puppet_model.h"

namespace tlin {

absl::StatusOr<LoadedModel> LoadModel(const LoadOptions&) {
  auto puppet = std::make_unique<PuppetModel>(PuppetOptions{});
  puppet->Block();
  LoadedModel loaded;
  loaded.model = std::move(puppet);
  return loaded;
}

}  // namespace tlin
