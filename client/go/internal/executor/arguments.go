package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"lockstitch.dev/go/lockstitch"
	"lockstitch.dev/go/lockstitchpb"
)

// arguments are those of all operations.
type arguments struct {
	Target           string      `json:"target"`
	TimeoutMS        *int64      `json:"timeout_ms"`
	ConnectTimeoutMS *int64      `json:"connect_timeout_ms"`
	APIKey           *string     `json:"api_key"`
	TLS              *tlsFiles   `json:"tls"`
	Delta            *bool       `json:"delta"`
	Retry            *bool       `json:"retry"`
	Checkpoint       encoded     `json:"checkpoint"`
	Expected         *expected   `json:"expected_latest"`
	Writes           []encoded   `json:"writes"`
	Saves            []arguments `json:"saves"`
	Edit             edit        `json:"edit"`

	SessionID    string   `json:"session_id"`
	SessionIDs   []string `json:"session_ids"`
	Namespace    *string  `json:"namespace"`
	CheckpointID *string  `json:"checkpoint_id"`
	Step         *uint64  `json:"step,string"`
	View         string   `json:"view"`
	Traceparent  string   `json:"traceparent"`

	Sessions        []arguments       `json:"sessions"`
	SessionIDPrefix string            `json:"session_id_prefix"`
	Labels          map[string]string `json:"labels"`
	OrderBy         string            `json:"order_by"`
	PageSize        int32             `json:"page_size"`
	MaxItems        *int              `json:"max_items"`
	MinStep         *uint64           `json:"min_step,string"`
	MaxStep         *uint64           `json:"max_step,string"`
	RanNode         *string           `json:"ran_node"`
	SkippedNode     *string           `json:"skipped_node"`
	BeforeID        string            `json:"before_checkpoint_id"`
	Metadata        map[string]string `json:"metadata"`
	IncludeWrites   bool              `json:"include_writes"`
	Channels        []string          `json:"channels"`
	WriteChannels   []string          `json:"write_channels"`
	Limit           uint32            `json:"limit"`

	PageToken           string  `json:"page_token"`
	UpdatedSince        *string `json:"updated_since"`
	UpdatedBefore       *string `json:"updated_before"`
	IncludeTotal        bool    `json:"include_total"`
	IncludeChannelSizes bool    `json:"include_channel_sizes"`
	SkipDamaged         bool    `json:"skip_damaged"`

	SetLabels      map[string]string `json:"set_labels"`
	RemoveLabels   []string          `json:"remove_labels"`
	TTLMS          *int64            `json:"ttl_ms"`
	ClearTTL       bool              `json:"clear_ttl"`
	Retention      *retention        `json:"retention"`
	ClearRetention bool              `json:"clear_retention"`
	TombstoneMS    *int64            `json:"tombstone_ms"`
	After          *reference        `json:"after"`
	At             *reference        `json:"at"`
	Source         string            `json:"source"`
	DryRun         bool              `json:"dry_run"`
	ResumeToken    string            `json:"resume_token"`
	Count          int               `json:"count"`
	HeartbeatMS    *int64            `json:"heartbeat_ms"`
	Holder         string            `json:"holder"`
	LeaseToken     uint64            `json:"lease_token,string"`
	AcquisitionID  *string           `json:"acquisition_id"`
	AcquiredAt     *string           `json:"acquired_at"`
}

type expected struct {
	CheckpointID *string `json:"checkpoint_id"`
	Step         *uint64 `json:"step,string"`
	None         bool    `json:"none"`
	Revision     uint64  `json:"revision,string"`
}

type reference struct {
	Namespace    string `json:"namespace"`
	CheckpointID string `json:"checkpoint_id"`
}

type retention struct {
	KeepLast uint32 `json:"keep_last"`
	MaxAgeMS int64  `json:"max_age_ms"`
}

type tlsFiles struct {
	CA         string `json:"ca"`
	Cert       string `json:"cert"`
	Key        string `json:"key"`
	ServerName string `json:"server_name"`
}

func (f tlsFiles) config() (*tls.Config, error) {
	config := &tls.Config{ServerName: f.ServerName, MinVersion: tls.VersionTLS12}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("no certificate in " + f.CA)
		}
	}
	if f.Cert != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// encoded is a message in base64.
type encoded string

func decode[M proto.Message](data encoded, into M) (M, error) {
	raw, err := base64.StdEncoding.DecodeString(string(data))
	if err != nil {
		return into, err
	}
	return into, proto.Unmarshal(raw, into)
}

func decodeWrites(all []encoded) ([]*lockstitchpb.PendingWrite, error) {
	writes := make([]*lockstitchpb.PendingWrite, len(all))
	for index, data := range all {
		var err error
		if writes[index], err = decode(data, &lockstitchpb.PendingWrite{}); err != nil {
			return nil, err
		}
	}
	return writes, nil
}

func encode(message proto.Message) string {
	raw, err := proto.Marshal(message)
	if err != nil {
		panic(err)
	}
	return base64.StdEncoding.EncodeToString(raw)
}

func encodeAll[M proto.Message](messages []M) []string {
	all := make([]string, 0, len(messages))
	for _, message := range messages {
		all = append(all, encode(message))
	}
	return all
}

func (a arguments) namespace() string { return value(a.Namespace) }

func (a arguments) view() lockstitch.View {
	if a.View == "HEADER" {
		return lockstitch.Header
	}
	return lockstitch.Full
}

func (a arguments) loadOptions() []lockstitch.LoadOption {
	return []lockstitch.LoadOption{
		lockstitch.InNamespace(a.namespace()), lockstitch.WithView(a.view()), lockstitch.WithChannels(a.Channels...),
	}
}

func (a arguments) saveOptions() ([]lockstitch.SaveOption, error) {
	var options []lockstitch.SaveOption
	if expected := a.Expected; expected != nil {
		switch {
		case expected.None:
			options = append(options, lockstitch.ExpectNone())
		case expected.Step != nil:
			options = append(options, lockstitch.ExpectStep(*expected.Step))
		case expected.CheckpointID != nil && expected.Revision != 0:
			options = append(options, lockstitch.ExpectRevision(*expected.CheckpointID, expected.Revision))
		case expected.CheckpointID != nil:
			options = append(options, lockstitch.ExpectCheckpoint(*expected.CheckpointID))
		}
	}
	writes, err := decodeWrites(a.Writes)
	if len(writes) > 0 {
		options = append(options, lockstitch.WithWrites(writes...))
	}
	if a.TTLMS != nil {
		options = append(options, lockstitch.WithTTL(milliseconds(a.TTLMS)))
	}
	if a.LeaseToken != 0 {
		options = append(options, lockstitch.WithLease(a.LeaseToken))
	}
	return options, err
}

func milliseconds(count *int64) time.Duration {
	return time.Duration(value(count)) * time.Millisecond
}

// when is the time of these nanoseconds since 1970; zero if there are none.
func when(nanoseconds *string) time.Time {
	if nanoseconds == nil {
		return time.Time{}
	}
	count, err := strconv.ParseInt(*nanoseconds, 10, 64)
	if err != nil {
		panic(err)
	}
	return time.Unix(0, count)
}

func value[T any](pointer *T) T {
	if pointer == nil {
		var zero T
		return zero
	}
	return *pointer
}

var codeNames = map[codes.Code]string{
	codes.OK: "OK", codes.Canceled: "CANCELLED", codes.Unknown: "UNKNOWN", codes.InvalidArgument: "INVALID_ARGUMENT",
	codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS",
	codes.PermissionDenied: "PERMISSION_DENIED", codes.ResourceExhausted: "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION", codes.Aborted: "ABORTED", codes.OutOfRange: "OUT_OF_RANGE",
	codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL", codes.Unavailable: "UNAVAILABLE",
	codes.DataLoss: "DATA_LOSS", codes.Unauthenticated: "UNAUTHENTICATED",
}
