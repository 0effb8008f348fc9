package lockstitch

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/grpc/codes"
)

// A TokenSource gives the bearer key or token to send. It is asked before every
// attempt of a call and every stream, by several goroutines at once, and should
// answer from memory.
type TokenSource func(context.Context) (string, error)

// errBadKey does not show the key.
var errBadKey = errors.New("a key is printable ASCII without spaces, and not empty")

func checkKey(key string) error {
	if key == "" || strings.ContainsFunc(key, func(char rune) bool { return char <= ' ' || char > '~' }) {
		return errBadKey
	}
	return nil
}

// bearer is what stands in the call's metadata; "": no credentials.
func (c *Client) bearer(ctx context.Context) (string, error) {
	if c.settings.token == nil {
		return "", nil
	}
	token, err := c.settings.token(ctx)
	if err == nil {
		err = checkKey(token)
	}
	if err == nil {
		return "Bearer " + token, nil
	}
	if ctx.Err() != nil {
		return "", fromError(ctx.Err())
	}
	return "", &Error{Code: codes.Unauthenticated, Message: "no token for the call: " + err.Error(), cause: err}
}
