package main

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"lockstitch.dev/go/lockstitch"
	"lockstitch.dev/go/lockstitchpb"
)

type edit struct {
	CheckpointID     *string `json:"checkpoint_id"`
	ParentID         *string `json:"parent_id"`
	Step             *uint64 `json:"step,string"`
	ConcurrencyLimit *uint64 `json:"concurrency_limit,string"`
	CreatedAt        *int64  `json:"created_at,string"`
	AppendMessage    *struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"append_message"`
	MessagesVersion *uint32           `json:"messages_version"`
	SetExtra        map[string]string `json:"set_extra"`
	RemoveExtra     []string          `json:"remove_extra"`
	AppendItem      *struct {
		Channel string `json:"channel"`
		Type    string `json:"type"`
		Data    string `json:"data"`
	} `json:"append_item"`
	Seen *struct {
		Node    string `json:"node"`
		Channel string `json:"channel"`
		Version uint64 `json:"version,string"`
	} `json:"seen"`
	SetMetadata    map[string]string `json:"set_metadata"`
	AppendFrontier *string           `json:"append_frontier"`
}

func (e *executor) edit(ctx context.Context, args arguments) (object, error) {
	checkpoint, err := e.latest(ctx, args)
	if err != nil {
		return nil, err
	}
	if err := args.Edit.apply(checkpoint); err != nil {
		return nil, err
	}
	options, err := args.saveOptions()
	if err != nil {
		return nil, err
	}
	return saved(e.client.Save(ctx, checkpoint, options...))
}

func (e edit) apply(checkpoint *lockstitchpb.Checkpoint) error {
	set(&checkpoint.CheckpointId, e.CheckpointID)
	set(&checkpoint.ParentId, e.ParentID)
	set(&checkpoint.Step, e.Step)
	set(&checkpoint.ConcurrencyLimit, e.ConcurrencyLimit)
	if e.CreatedAt != nil {
		checkpoint.CreatedAt = timestamppb.New(time.Unix(0, *e.CreatedAt))
	}
	if seen := e.Seen; seen != nil {
		checkpoint.VersionsSeen[seen.Node].Versions[seen.Channel] = seen.Version
	}
	if len(e.SetMetadata) > 0 {
		maps.Copy(checkpoint.Metadata, e.SetMetadata)
	}
	if e.AppendFrontier != nil {
		checkpoint.Frontier = append(checkpoint.Frontier, lockstitch.Node(*e.AppendFrontier))
	}
	return e.applyToState(checkpoint.State)
}

func (e edit) applyToState(state *lockstitchpb.VersionedState) error {
	if said := e.AppendMessage; said != nil {
		state.Messages.Items = append(state.Messages.Items, lockstitch.Message(said.Role, said.Content))
	}
	if e.MessagesVersion != nil {
		state.Messages.Version = *e.MessagesVersion
	}
	if len(e.SetExtra) > 0 {
		maps.Copy(state.Extra.Entries, e.SetExtra)
	}
	for _, key := range e.RemoveExtra {
		delete(state.Extra.Entries, key)
	}
	if added := e.AppendItem; added != nil {
		data, err := base64.StdEncoding.DecodeString(added.Data)
		if err != nil {
			return err
		}
		list := state.Custom[added.Channel].GetList()
		list.Items = append(list.Items, &lockstitchpb.TypedBlob{Type: added.Type, Data: data})
	}
	return nil
}

func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

func (e *executor) view(ctx context.Context, args arguments) (object, error) {
	checkpoint, err := e.latest(ctx, args)
	if err != nil {
		return nil, err
	}
	seen := object{}
	for node, versions := range checkpoint.VersionsSeen {
		channels := object{}
		for channel, version := range versions.Versions {
			channels[channel] = decimal(version)
		}
		seen[node] = channels
	}
	frontier := []string{}
	for _, node := range checkpoint.Frontier {
		frontier = append(frontier, nodeName(node))
	}
	view := object{
		"checkpoint_id":     checkpoint.CheckpointId,
		"step":              decimal(checkpoint.Step),
		"concurrency_limit": decimal(checkpoint.ConcurrencyLimit),
		"versions_seen":     seen,
		"frontier":          frontier,
		"custom":            append([]string{}, slices.Sorted(maps.Keys(checkpoint.GetState().GetCustom()))...),
		"has_header":        checkpoint.Header != nil,
	}
	if checkpoint.CreatedAt != nil {
		view["created_at"] = nanoseconds(checkpoint.CreatedAt.AsTime())
	}
	viewState(view, checkpoint.State)
	return view, nil
}

func viewState(view object, state *lockstitchpb.VersionedState) {
	if messages := state.GetMessages(); messages != nil {
		shown := object{"version": messages.Version, "count": len(messages.Items)}
		if count := len(messages.Items); count > 0 {
			last := messages.Items[count-1]
			shown["last"] = object{"role": last.Role, "content": last.Content}
		}
		view["messages"] = shown
	}
	if extra := state.GetExtra(); extra != nil {
		entries := object{}
		for key, text := range extra.Entries {
			entries[key] = text
		}
		view["extra"] = object{"version": extra.Version, "entries": entries}
	}
}

func nodeName(node *lockstitchpb.NodeKind) string {
	switch kind := node.Kind.(type) {
	case *lockstitchpb.NodeKind_Custom:
		return "custom:" + kind.Custom
	case *lockstitchpb.NodeKind_Endpoint:
		if kind.Endpoint == lockstitchpb.Endpoint_ENDPOINT_START {
			return "START"
		}
		return "END"
	}
	return ""
}
