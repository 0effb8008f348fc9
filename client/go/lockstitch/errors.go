package lockstitch

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"lockstitch.dev/go/lockstitchpb"
)

const errorDomain = "lockstitch.dev"

// Reason says why a call failed, in a form for programs. It is an error itself,
// for errors.Is:
//
//	if errors.Is(err, lockstitch.ExpectedLatestMismatch) { ... }
//
// The contract (error.proto) tells what each means. A newer server may give
// reasons that are not listed here.
type Reason string

// The reasons that this package knows.
const (
	InvalidField           Reason = "INVALID_FIELD"
	NotJSON                Reason = "NOT_JSON"
	InvalidPageToken       Reason = "INVALID_PAGE_TOKEN"
	TooLarge               Reason = "TOO_LARGE"
	ExpectedLatestMismatch Reason = "EXPECTED_LATEST_MISMATCH"
	Superseded             Reason = "SUPERSEDED"
	LeaseLost              Reason = "LEASE_LOST"
	UnknownBase            Reason = "UNKNOWN_BASE"
	BaseChanged            Reason = "BASE_CHANGED"
	DeltaMismatch          Reason = "DELTA_MISMATCH"
	SchemaBehind           Reason = "SCHEMA_BEHIND"
	CheckpointNotFound     Reason = "CHECKPOINT_NOT_FOUND"
	StoreUnavailable       Reason = "STORE_UNAVAILABLE"
	Overloaded             Reason = "OVERLOADED"
	Draining               Reason = "DRAINING"
	DataLoss               Reason = "DATA_LOSS"
	Internal               Reason = "INTERNAL"
	SessionNotFound        Reason = "SESSION_NOT_FOUND"
	SessionDeleted         Reason = "SESSION_DELETED"
	SessionAlreadyExists   Reason = "SESSION_ALREADY_EXISTS"
	LeaseHeld              Reason = "LEASE_HELD"
	ResumeTooOld           Reason = "RESUME_TOO_OLD"
	CredentialsMissing     Reason = "CREDENTIALS_MISSING"
	CredentialsInvalid     Reason = "CREDENTIALS_INVALID"
	RightMissing           Reason = "RIGHT_MISSING"
	TenantForbidden        Reason = "TENANT_FORBIDDEN"
	RateLimited            Reason = "RATE_LIMITED"
	StoreFull              Reason = "STORE_FULL"
	StoreReadOnly          Reason = "STORE_READ_ONLY"
)

// Error makes a Reason a target for errors.Is.
func (r Reason) Error() string { return string(r) }

// Error is how a call has failed. Every error of a call is one (errors.As), but
// for what New says.
//
// errors.Is(err, reason) compares the reason; context.DeadlineExceeded and
// context.Canceled match errors with the codes of that name. An Unavailable that
// is so when the time of the call was up matches context.DeadlineExceeded, too.
type Error struct {
	// Code is gRPC's. What nobody here has cancelled is Unavailable, not Canceled.
	Code codes.Code
	// Reason is "" where none was given, as with a client's own deadline.
	Reason Reason
	// Metadata tells more; error.proto names the keys at each reason.
	Metadata map[string]string
	// Message is for people.
	Message string
	// RetryAfter is how long the server wants to be left alone.
	RetryAfter time.Duration
	// final: there is no connection, and it is of no use to wait longer.
	final bool
	// timedOut: Unavailable, as there is no connection, when the time of the call
	// was up.
	timedOut bool
	cause    error
}

// Unwrap gives the error of a TokenSource.
func (e *Error) Unwrap() error { return e.cause }

func (e *Error) Error() string {
	if e.Reason != "" {
		return fmt.Sprintf("lockstitch: %s: %s", e.Reason, e.Message)
	}
	return fmt.Sprintf("lockstitch: %s: %s", e.Code, e.Message)
}

// Is says whether target is the error's reason, or the context's error that
// belongs to its code.
func (e *Error) Is(target error) bool {
	switch target {
	case context.DeadlineExceeded:
		return e.Code == codes.DeadlineExceeded || e.timedOut
	case context.Canceled:
		return e.Code == codes.Canceled
	}
	reason, ok := target.(Reason)
	return ok && reason == e.Reason
}

// GRPCStatus lets status.Code and status.FromError read the error.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// Field is the field that breaks a rule, such as "checkpoint.session_id"; "" if
// that is not what is wrong.
func (e *Error) Field() string { return e.Metadata["field"] }

// Latest is what an ExpectedLatestMismatch says the latest checkpoint is. False:
// there is none.
func (e *Error) Latest() (checkpointID string, step uint64, ok bool) {
	checkpointID, ok = e.Metadata["latest_checkpoint_id"]
	step, err := strconv.ParseUint(e.Metadata["latest_step"], 10, 64)
	return checkpointID, step, ok && err == nil
}

// Holder is who holds the lease, in the holder's own words; "" if nobody does.
func (e *Error) Holder() string { return e.Metadata["holder"] }

// retryable says whether to repeat the call is safe and may help.
func (e *Error) retryable() bool {
	return (e.Code == codes.Unavailable && !e.final) || (e.Code == codes.ResourceExhausted && e.RetryAfter > 0)
}

// deltaRefused says whether the full state has to be sent.
func (e *Error) deltaRefused() bool {
	return e.Reason == UnknownBase || e.Reason == BaseChanged || e.Reason == DeltaMismatch
}

func fromError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return fromStatus(status.Convert(asStatus(err)))
}

// asStatus gives the errors of a context their code.
func asStatus(err error) error {
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.FromContextError(err).Err()
}

func fromStatus(from *status.Status) *Error {
	failure := &Error{Code: from.Code(), Message: from.Message()}
	for _, detail := range from.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.Domain == errorDomain {
				failure.Reason, failure.Metadata = Reason(detail.Reason), detail.Metadata
			}
		case *errdetails.RetryInfo:
			failure.RetryAfter = detail.RetryDelay.AsDuration()
		}
	}
	return failure
}

// fromAnswer is the error that stands inside an answer of a stream.
func fromAnswer(told *lockstitchpb.Status) *Error {
	data, err := proto.Marshal(told)
	if err == nil {
		same := &statuspb.Status{} // equal on the wire
		if err = proto.Unmarshal(data, same); err == nil {
			return fromStatus(status.FromProto(same))
		}
	}
	return &Error{Code: codes.Code(told.GetCode()), Message: told.GetMessage()}
}

func noResult() *Error {
	return &Error{Code: codes.Internal, Message: "an answer without a result"}
}
