package lockstitch

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"lockstitch.dev/go/lockstitchpb"
)

type order struct {
	Messages []said         `json:"messages"`
	Cart     cart           `json:"cart"`
	Paid     *bool          `json:"paid"`
	Notes    map[string]int `json:"notes,omitempty"`
	When     time.Time      `json:"when"`
	Number   int64          `json:"number"`
	Price    float64        `json:"price"`
	Raw      []byte         `json:"raw"`
	secret   int
}

type said struct {
	Role, Content string
}

type cart struct {
	Items []string `json:"items"`
	Size  string   `json:"size"`
}

func written(t *testing.T, state any) *lockstitchpb.VersionedState {
	t.Helper()
	channels, err := writeState(state, nil)
	if err != nil {
		t.Fatal(err)
	}
	return channels
}

// stored is a checkpoint with these channels: the JSON text of a blob, or of a list.
func stored(channels map[string]string) *lockstitchpb.Checkpoint {
	state := &lockstitchpb.VersionedState{Custom: map[string]*lockstitchpb.CustomChannel{}}
	for name, text := range channels {
		state.Custom[name] = blobChannel(&lockstitchpb.TypedBlob{Type: jsonType, Data: []byte(text)})
	}
	return &lockstitchpb.Checkpoint{Header: plainHeader(), State: state}
}

func TestWhereValuesStand(t *testing.T) {
	many := map[string]any{}
	for number := range splitKeys + 1 {
		many[fmt.Sprint(number)] = number
	}
	channels := written(t, map[string]any{
		"messages": []any{map[string]any{"role": "<é>\u2028\\u2028"}, 1},
		"cart":     map[string]any{"a/b": 1.5, "items": []any{1}, "deep": map[string]any{"x": []any{}}},
		"x~y":      "text", "none": map[string]any{}, "nothing": []any{}, "many": many,
		"long": map[string]any{strings.Repeat("k", nameBytes): 1, "b": 2},
	}).Custom
	expected := []string{"cart/a~1b", "cart/deep", "cart/items", "long", "many", "messages", "none", "nothing", "x~0y"}
	if names := slices.Sorted(maps.Keys(channels)); !slices.Equal(names, expected) {
		t.Fatal(names)
	}
	items := channels["messages"].GetList().GetItems()
	if len(items) != 2 || string(items[0].Data) != "{\"role\":\"<é>\u2028\\\\u2028\"}" || string(items[1].Data) != "1" {
		t.Fatal(items)
	}
	if channels["nothing"].GetList() == nil || string(channels["none"].GetBlob().GetData()) != "{}" {
		t.Fatal(channels)
	}
}

func TestAnyStateComesBack(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 19))
		state := map[string]any{}
		for range random.IntN(6) {
			state[anyText(random)] = anyValue(random, 3)
		}
		checkpoint := &lockstitchpb.Checkpoint{Header: plainHeader(), State: written(t, state)}
		back, err := decodeState[map[string]any](checkpoint)
		if err != nil || !reflect.DeepEqual(back, state) {
			t.Fatalf("seed %d: %v\n%#v\n%#v", seed, err, state, back)
		}
		again, err := writeState(back, checkpoint.State)
		if err != nil || !proto.Equal(again, checkpoint.State) {
			t.Fatalf("seed %d: %v\n%v\n%v", seed, err, checkpoint.State, again)
		}
	}
}

func anyText(random *rand.Rand) string {
	pool := []string{"a", "b", "/", "~", "é", "🧵", "\x00", "\"", "\\", "\u2028", "<", "\ufffd"}
	var text strings.Builder
	for range random.IntN(4) {
		text.WriteString(pool[random.IntN(len(pool))])
	}
	return text.String()
}

func anyValue(random *rand.Rand, depth int) any {
	kinds := 5
	if depth > 0 {
		kinds = 8
	}
	switch random.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return random.IntN(2) == 0
	case 2:
		return anyText(random)
	case 3:
		large := new(big.Int).Lsh(big.NewInt(random.Int64()), uint(random.IntN(100)))
		return json.Number(large.String())
	case 4:
		text, _ := JSONText(math.Float64frombits(random.Uint64N(0x7ff0000000000000)))
		return json.Number(text)
	case 5, 6:
		list := []any{}
		for range random.IntN(4) {
			list = append(list, anyValue(random, depth-1))
		}
		return list
	}
	object := map[string]any{}
	for range random.IntN(4) {
		object[anyText(random)] = anyValue(random, depth-1)
	}
	return object
}

func TestAStructComesBack(t *testing.T) {
	paid := true
	for _, state := range []order{
		{Messages: []said{}, Cart: cart{Items: []string{}}},
		{
			[]said{{"user", "hello"}}, cart{[]string{"a"}, "XL"}, &paid, map[string]int{"a": 1},
			time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), math.MaxInt64, 5e-324, []byte{0, 255}, 0,
		},
	} {
		back, err := decodeState[order](&lockstitchpb.Checkpoint{Header: plainHeader(), State: written(t, state)})
		if err != nil || !reflect.DeepEqual(back, state) {
			t.Fatalf("%v\n%#v\n%#v", err, state, back)
		}
	}
}

func TestANilSliceIsAnEmptyList(t *testing.T) {
	state := written(t, order{secret: 1})
	for _, name := range []string{"messages", "cart/items"} {
		if state.Custom[name].GetList() == nil {
			t.Fatal(name, state.Custom[name])
		}
	}
	if empty := written(t, map[string]any(nil)); len(empty.Custom) != 0 {
		t.Fatal(empty)
	}
	if string(state.Custom["paid"].GetBlob().GetData()) != "null" {
		t.Fatal(state)
	}
}

func TestWhatWouldBeLostIsRefusedWithItsPath(t *testing.T) {
	circle := map[string]any{}
	circle["a"] = circle
	for _, each := range []struct {
		state any
		text  string
	}{
		{map[string]any{"a": map[string]any{"b": []any{1, map[string]any{"c": math.NaN()}}}}, `state["a"]["b"][1]["c"] is NaN`},
		{map[string]any{"a": []float32{float32(math.Inf(-1))}}, `state["a"][0] is -Inf`},
		{map[string]any{"a": map[string]string{"b": "\xff"}}, `state["a"]["b"] holds "\xff", which is not UTF-8`},
		{map[string]any{"a": map[string]int{"\xed\xa0\xbd": 1}}, `state["a"] holds "\xed\xa0\xbd"`},
		{order{Cart: cart{Size: "\xff"}}, `state["cart"]["size"] holds`},
		{order{Price: math.Inf(1)}, `state["price"] is +Inf`},
		{map[string]any{"a": []any{[]byte("x")}}, `state["a"][0] is of type []uint8, and would come back as text`},
		{map[string]any{"a": map[int]int{1: 2}}, `state["a"] has keys of type int`},
		{map[string]any{"a": func() {}}, `state["a"] is of type func()`},
		{map[string]any{"a": 1i}, `state["a"] is of type complex128`},
		{map[string]any{"a": json.RawMessage(`[{"b":1,"b":2}]`)}, `state["a"][0]["b"] stands twice`},
		{map[string]any{"a": json.RawMessage(`"\ud83d"`)}, `half of a surrogate pair`},
		{map[string]any{"a": json.Number("x")}, `invalid number literal`},
		{map[string]any{strings.Repeat("k", 513): 1}, `has keys of 513 bytes together; the limit is 512`},
		{circle, `nested more than 500 deep`},
		{[]int{1}, `state is of type []int: a state is a struct or a map`},
	} {
		_, err := writeState(each.state, nil)
		var refused *StateError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), each.text) {
			t.Errorf("%v does not say %s", err, each.text)
		}
	}
}

func TestWhatATypeCannotHoldIsRefusedWithItsPath(t *testing.T) {
	for _, each := range []struct {
		channels map[string]string
		text     string
	}{
		{map[string]string{"colour": `"red"`}, `state["colour"] is stored, and lockstitch.order has no place for it`},
		{map[string]string{"cart/weight": `1`}, `state["cart"]["weight"] is stored, and`},
		{map[string]string{"number": `9223372036854775808`}, `state["number"] is stored as number 9223372036854775808`},
		{map[string]string{"number": `1.5`}, `state["number"] is stored as number 1.5`},
		{map[string]string{"price": `9007199254740993`}, `state["price"] is stored as 9007199254740993`},
		{map[string]string{"price": `0.1000000000000000055511151231257827`}, `state["price"] is stored as 0.1`},
		{map[string]string{"price": `1` + strings.Repeat("0", 40)}, `state["price"] is stored as`},
		{map[string]string{"price": `1e400`}, `state["price"] is stored as number 1e400`},
		{map[string]string{"price": `null`}, `state["price"] is stored as null`},
		{map[string]string{"cart/size": `7`}, `state["cart"]["size"] is stored as number`},
	} {
		_, err := decodeState[order](stored(each.channels))
		if err == nil || !strings.Contains(err.Error(), each.text) {
			t.Errorf("%v does not say %s", err, each.text)
		}
	}
	for _, channels := range []map[string]string{
		{"price": "1.0"}, {"price": "1e+16"}, {"price": "10000000000000000"}, {"price": "1e+22"},
		{"price": "-0.0"}, {"price": "0.10000000000000001"}, {"price": "1e2"}, {"price": "12E-1"},
		{"when": `"2026-01-02T03:04:05.000+00:00"`}, {"notes": "{}"}, {"paid": "null"},
	} {
		if _, err := decodeState[order](stored(channels)); err != nil {
			t.Errorf("%v: %v", channels, err)
		}
	}
}

type embedded struct {
	Note string `json:"note,omitempty"`
}

type named struct {
	Inner string `json:"inner,omitempty"`
}

type optional struct {
	embedded
	named  `json:"named,omitzero"`
	Items  []said           `json:"items,omitempty"`
	Bag    map[string]said  `json:"bag,omitempty"`
	Any    any              `json:"any,omitempty"`
	Next   *optional        `json:"next,omitempty"`
	Custom *readsByItself   `json:"custom,omitempty"`
	Hidden string           `json:"-"`
	Deep   map[string][]any `json:"deep,omitempty"`
}

type readsByItself struct{ kept map[string]int }

func (r *readsByItself) UnmarshalJSON(raw []byte) error {
	var all map[string]int
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	r.kept = map[string]int{"kept": all["kept"]}
	return nil
}

func (r readsByItself) MarshalJSON() ([]byte, error) { return json.Marshal(r.kept) }

func TestAZeroValueThatATypeLacksIsRefusedToo(t *testing.T) {
	for text, channels := range map[string]map[string]string{
		`state["colour"]`:               {"colour": `""`},
		`state["Hidden"]`:               {"Hidden": `""`},
		`state["inner"]`:                {"inner": `""`},
		`state["NOTE"]`:                 {"NOTE": `""`},
		`state["items"][1]["when"]`:     {"items": `[{"Role":"","Content":""},{"Role":"","Content":"","when":null}]`},
		`state["bag"]["a"]["size"]`:     {"bag": `{"a":{"Role":"x","Content":"","size":0}}`},
		`state["next"]["next"]["gone"]`: {"next": `{"next":{"gone":{},"note":"x"}}`},
		`state["custom"]["other"]`:      {"custom": `{"kept":1,"other":0}`},
	} {
		_, err := decodeState[optional](stored(channels))
		if err == nil || !strings.Contains(err.Error(), text+" is stored, and lockstitch.optional has no place for it") {
			t.Errorf("%v does not say %s", err, text)
		}
	}
	for _, channels := range []map[string]string{
		{"note": `""`}, {"items": `[]`}, {"items": `null`}, {"bag": `{}`}, {"any": `null`}, {"next": `{"note":""}`},
		{"custom": `{"kept":0}`}, {"any": `{"a":""}`}, {"deep": `{"a":[null,{"b":0}]}`},
	} {
		if _, err := decodeState[optional](stored(channels)); err != nil {
			t.Errorf("%v: %v", channels, err)
		}
	}
}

func TestWhatIsNoPlainStateIsRefused(t *testing.T) {
	for text, channels := range map[string]map[string]string{
		`the channel "b/c/d"`:           {"b/c/d": "1"},
		`the channel "b~2"`:             {"b~2": "1"},
		`is stored as one value, and`:   {"b": "{}", "b/c": "1"},
		`state["b"]["c"] stands twice`:  {"b": `{"c":1,"c":2}`},
		`state["b"] is stored as text`:  {"b": "1 2"},
		`state["a"] is stored as text`:  {"a": "[NaN]"},
		`text that is not UTF-8`:        {"b": "\"\xff\""},
		`half of a surrogate pair`:      {"b": `"\\\ud83d\n"`},
		`is nested more than 500 deep`:  {"b": strings.Repeat("[", 502) + strings.Repeat("]", 502)},
		`state["c/d"] is stored as tex`: {"c~1d": ""},
	} {
		if _, err := decodeState[map[string]any](stored(channels)); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%v does not say %s", err, text)
		}
	}
	other := stored(nil)
	other.Header.Data = []byte("2")
	if _, err := decodeState[map[string]any](other); err == nil || !strings.Contains(err.Error(), `has layout "2"`) {
		t.Error(err)
	}
	other.Header = nil
	if _, err := decodeState[map[string]any](other); err == nil || !strings.Contains(err.Error(), "is not a plain state") {
		t.Error(err)
	}
}

func TestWholePairsOfSurrogatesAreText(t *testing.T) {
	back, err := decodeState[map[string]any](stored(map[string]string{"a": `"\ud83e\uddf5\\ud83d"`}))
	if err != nil || back["a"] != "🧵\\ud83d" {
		t.Fatal(back, err)
	}
}

func TestEqualValuesKeepTheirBytes(t *testing.T) {
	before := stored(map[string]string{"a": `{"z": 1.0, "a": "é"}`, "b": `"\u00e9"`, "c": "1", "d": "[1]"}).State
	after, err := writeState(map[string]any{"a": map[string]any{"a": "é", "z": 1}, "b": "é", "c": 2}, before)
	if err != nil {
		t.Fatal(err)
	}
	if after.Custom["b"].GetBlob() != before.Custom["b"].GetBlob() || string(after.Custom["c"].GetBlob().Data) != "2" {
		t.Fatal(after)
	}
}

func TestAppendingIsWritingTheLongerList(t *testing.T) {
	state := map[string]any{"log": []any{1}, "cart": map[string]any{"a": 1}, "text": "x", "null": nil, "cart2": 1}
	grown, err := appendToState(written(t, state), "log", []any{"two", said{"user", "three"}})
	if err != nil {
		t.Fatal(err)
	}
	state["log"] = []any{1, "two", said{"user", "three"}}
	if expected := written(t, state); !proto.Equal(grown, expected) {
		t.Fatalf("%v\n%v", grown, expected)
	}
	for _, key := range []string{"cart", "text", "null"} {
		var refused *StateError
		if _, err := appendToState(grown, key, []any{1}); !errors.As(err, &refused) || refused.Path != `state["`+key+`"]` {
			t.Error(err)
		}
	}
	if _, err := appendToState(grown, "log", []any{[]any{math.NaN()}}); err == nil || !strings.Contains(err.Error(), `state["log"][3][0] is NaN`) {
		t.Error(err)
	}
}
