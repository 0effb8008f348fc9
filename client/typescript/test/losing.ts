/** Saves that go wrong between the client and a real server. */

import { InterceptingCall, type Interceptor, Metadata, status } from "@grpc/grpc-js";

/** `lost`: the server stores the save, and its answer is lost. `refused`: the save does not reach the server. */
export type Fate = "lost" | "refused" | "answered";

const LOST = { code: status.UNAVAILABLE, details: "lost", metadata: new Metadata() };
const REFUSED = { code: status.RESOURCE_EXHAUSTED, details: "refused", metadata: new Metadata() };

/** What becomes of each Save call; those after the last fate are answered. */
export function fates(...each: Fate[]): Interceptor {
  return (options, nextCall) => {
    const isSave = options.method_definition.path.endsWith("/Save");
    const fate = (isSave && each.shift()) || "answered";
    const call = nextCall(options);
    return fate === "lost" ? losing(call) : fate === "refused" ? refusing(call) : new InterceptingCall(call);
  };
}

type NextCall = ConstructorParameters<typeof InterceptingCall>[0];

function losing(call: NextCall): InterceptingCall {
  return new InterceptingCall(call, {
    start(metadata, listener, next) {
      next(metadata, {
        onReceiveMetadata: (received: Metadata) => listener.onReceiveMetadata(received),
        onReceiveMessage: (message: unknown) => listener.onReceiveMessage(message),
        onReceiveStatus: () => listener.onReceiveStatus(LOST),
      });
    },
  });
}

function refusing(call: NextCall): InterceptingCall {
  return new InterceptingCall(call, {
    start(_metadata, listener) {
      call.cancelWithStatus(status.CANCELLED, "it never began");
      listener.onReceiveStatus(REFUSED);
    },
    sendMessage: () => {},
    halfClose: () => {},
  });
}
