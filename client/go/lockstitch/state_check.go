package lockstitch

import (
	"encoding"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"unicode/utf8"
)

// maxStateDepth is how deep values may be nested: all clients can read that.
const maxStateDepth = 500

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// A stateChecker finds values that encoding/json would change without an error,
// or refuse without their path.
type stateChecker struct {
	// custom: a type has its own encoding, so its text has to be checked.
	custom bool
	// empty has, for nil slices and maps that may get a channel, by path, the
	// text of an empty one: Append goes on with that, and null is not a list.
	empty map[string]string
}

// check walks through a value. dynamic: it stands in an interface, and comes back
// as JSON's own types.
func (c *stateChecker) check(value reflect.Value, at statePath, dynamic bool) error {
	if !value.IsValid() {
		return nil
	}
	if len(at) > maxStateDepth && holdsOthers(value.Kind()) {
		return statePath(nil).refuse("is nested more than %d deep, or holds itself", maxStateDepth)
	}
	if kind := value.Type(); kind.Implements(jsonMarshaler) || kind.Implements(textMarshaler) {
		c.custom = true
		return nil
	}
	switch value.Kind() {
	case reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return nil
	case reflect.Float32, reflect.Float64:
		if number := value.Float(); math.IsNaN(number) || math.IsInf(number, 0) {
			return at.refuse("is %v, which JSON does not have", number)
		}
		return nil
	case reflect.String:
		return checkText(value.String(), at)
	case reflect.Interface:
		return c.check(value.Elem(), at, true)
	case reflect.Pointer:
		return c.check(value.Elem(), at, dynamic)
	case reflect.Slice, reflect.Array:
		return c.checkList(value, at, dynamic)
	case reflect.Map:
		return c.checkMap(value, at, dynamic)
	case reflect.Struct:
		return c.checkStruct(value, at, dynamic)
	}
	return at.refuse("is of type %v, which JSON does not have", value.Type())
}

func holdsOthers(kind reflect.Kind) bool {
	return kind == reflect.Slice || kind == reflect.Array || kind == reflect.Map || kind == reflect.Struct
}

func (c *stateChecker) checkList(value reflect.Value, at statePath, dynamic bool) error {
	if value.Kind() == reflect.Slice && value.Type().Elem().Kind() == reflect.Uint8 {
		if dynamic {
			return at.refuse("is of type %v, and would come back as text: encode it as a string", value.Type())
		}
		return nil
	}
	if value.Kind() == reflect.Slice && value.IsNil() {
		c.noteEmpty(at, "[]")
	}
	for index := range value.Len() {
		if err := c.check(value.Index(index), at.in(index), dynamic); err != nil {
			return err
		}
	}
	return nil
}

func (c *stateChecker) checkMap(value reflect.Value, at statePath, dynamic bool) error {
	key := value.Type().Key()
	if dynamic && key.Kind() != reflect.String {
		return at.refuse("has keys of type %v, which would come back as text", key)
	}
	if value.IsNil() {
		c.noteEmpty(at, "{}")
	}
	c.custom = c.custom || key.Implements(textMarshaler)
	for entry := value.MapRange(); entry.Next(); {
		name := entry.Key().String() // of a number: its type, which does not matter here
		if err := checkText(name, at); err != nil {
			return err
		}
		if err := c.check(entry.Value(), at.in(name), dynamic); err != nil {
			return err
		}
	}
	return nil
}

func (c *stateChecker) checkStruct(value reflect.Value, at statePath, dynamic bool) error {
	for index := range value.NumField() {
		field := value.Type().Field(index)
		tag := field.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		inside := at.in(field.Name)
		switch {
		case tag == "-":
			continue
		case name != "":
			inside = at.in(name)
		case field.Anonymous:
			inside = at
		}
		if !field.IsExported() && !field.Anonymous {
			continue
		}
		if err := c.check(value.Field(index), inside, dynamic); err != nil {
			return err
		}
	}
	return nil
}

func (c *stateChecker) noteEmpty(at statePath, text string) {
	if len(at) <= 2 {
		if c.empty == nil {
			c.empty = map[string]string{}
		}
		c.empty[at.String()] = text
	}
}

func checkText(text string, at statePath) error {
	if !utf8.ValidString(text) {
		return at.refuse("holds %q, which is not UTF-8", text)
	}
	return nil
}
