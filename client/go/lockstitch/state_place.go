package lockstitch

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strings"
)

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// hasPlace says whether a type has a place for what stands under a path: a zero
// value that is left out when it is saved (omitempty) is not lost then. Of types
// that read JSON by themselves nobody can say so.
func hasPlace(kind reflect.Type, path statePath) bool {
	for _, part := range path {
		for kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		if to := reflect.PointerTo(kind); to.Implements(jsonUnmarshaler) || to.Implements(textUnmarshaler) {
			return false
		}
		switch kind.Kind() {
		case reflect.Map, reflect.Slice, reflect.Array:
			kind = kind.Elem()
		case reflect.Struct:
			field, ok := fieldNamed(kind, part)
			if !ok {
				return false
			}
			kind = field
		default:
			return kind.Kind() == reflect.Interface
		}
	}
	return true
}

// fieldNamed is the type of the field that encoding/json writes under a name.
func fieldNamed(kind reflect.Type, name any) (reflect.Type, bool) {
	for index := range kind.NumField() {
		field := kind.Field(index)
		tag := field.Tag.Get("json")
		written, _, _ := strings.Cut(tag, ",")
		if field.Anonymous && written == "" { // its fields stand in their owner's object
			inside := field.Type
			if inside.Kind() == reflect.Pointer {
				inside = inside.Elem()
			}
			if inside.Kind() == reflect.Struct {
				if found, ok := fieldNamed(inside, name); ok {
					return found, true
				}
				continue
			}
		}
		if written == "" {
			written = field.Name
		}
		if tag != "-" && field.IsExported() && written == name {
			return field.Type, true
		}
	}
	return nil, false
}
