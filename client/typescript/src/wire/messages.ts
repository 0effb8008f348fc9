/** The codecs of the messages that callers hold. */

import type {
  BlobList,
  Checkpoint,
  CustomChannel,
  ErrorsChannel,
  ExtrasChannel,
  Init,
  MessagesChannel,
  SessionState,
  VersionedState,
} from "../checkpoint.js";
import {
  BlobListSchema,
  CheckpointSchema,
  CustomChannelSchema,
  ErrorsChannelSchema,
  ExtrasChannelSchema,
  MessagesChannelSchema,
  SessionStateSchema,
  VersionedStateSchema,
} from "../gen/lockstitch/v1/checkpoint_pb.js";
import { codecOf } from "./codec.js";

export const checkpointCodec = codecOf<Checkpoint, Init<Checkpoint>>(CheckpointSchema);
export const stateCodec = codecOf<VersionedState, Init<VersionedState>>(VersionedStateSchema);
export const messagesCodec = codecOf<MessagesChannel, Init<MessagesChannel>>(MessagesChannelSchema);
export const extrasCodec = codecOf<ExtrasChannel, Init<ExtrasChannel>>(ExtrasChannelSchema);
export const errorsCodec = codecOf<ErrorsChannel, Init<ErrorsChannel>>(ErrorsChannelSchema);
export const customChannelCodec = codecOf<CustomChannel, Init<CustomChannel>>(CustomChannelSchema);
export const blobListCodec = codecOf<BlobList, Init<BlobList>>(BlobListSchema);
export const sessionStateCodec = codecOf<SessionState, Init<SessionState>>(SessionStateSchema);
