package lockstitch

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"lockstitch.dev/go/lockstitchpb"
)

// checkTexts fails with InvalidField for a string that is not UTF-8. protobuf
// cannot write it, and a stream would fail with it, for all its saves.
func checkTexts(message proto.Message) error {
	field := strings.TrimSuffix(illFormed(message.ProtoReflect()), " ")
	if field == "" {
		return nil
	}
	return &Error{
		Code: codes.InvalidArgument, Reason: InvalidField, Metadata: map[string]string{"field": field},
		Message: field + " holds text that is not UTF-8: encode it, or store bytes in a TypedBlob",
	}
}

// illFormed is the path of the first string that is not UTF-8; "": there is none.
func illFormed(message protoreflect.Message) (path string) {
	if areWellFormed(message.Interface()) {
		return ""
	}
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		name := string(field.Name())
		switch {
		case field.IsMap():
			path = illFormedMap(field, value.Map())
		case field.IsList() && isTextual(field):
			for index := range value.List().Len() {
				if path = illFormedValue(field, value.List().Get(index)); path != "" {
					name = fmt.Sprintf("%s[%d]", name, index)
					break
				}
			}
		case !field.IsList():
			path = illFormedValue(field, value)
		}
		if path != "" {
			path = name + path
		}
		return path == ""
	})
	return path
}

// areWellFormed says so of the lists that may have thousands of items, without
// reflection. False: look closer.
func areWellFormed(message proto.Message) bool {
	switch list := message.(type) {
	case *lockstitchpb.MessagesChannel:
		for _, item := range list.GetItems() {
			if !utf8.ValidString(item.GetRole()) || !utf8.ValidString(item.GetContent()) {
				return false
			}
		}
		return true
	case *lockstitchpb.BlobList:
		for _, item := range list.GetItems() {
			if !utf8.ValidString(item.GetType()) {
				return false
			}
		}
		return true
	}
	return false
}

func illFormedMap(field protoreflect.FieldDescriptor, entries protoreflect.Map) (path string) {
	entries.Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		if path = illFormedValue(field.MapKey(), key.Value()); path == "" {
			path = illFormedValue(field.MapValue(), value)
		}
		if path != "" {
			path = fmt.Sprintf("[%q]%s", key.String(), path)
		}
		return path == ""
	})
	return path
}

// illFormedValue is the path within a value: " " for the value itself.
func illFormedValue(field protoreflect.FieldDescriptor, value protoreflect.Value) string {
	switch {
	case field.Kind() == protoreflect.StringKind && !utf8.ValidString(value.String()):
		return " "
	case field.Kind() == protoreflect.MessageKind:
		if inside := illFormed(value.Message()); inside != "" {
			return "." + inside
		}
	}
	return ""
}

func isTextual(field protoreflect.FieldDescriptor) bool {
	return field.Kind() == protoreflect.StringKind || field.Kind() == protoreflect.MessageKind
}
