package lockstitch

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"google.golang.org/grpc/resolver"
)

const (
	defaultPort = "50051"
	// longestSocketPath is what a Unix socket's address has room for.
	longestSocketPath = 107
)

// An address is a target that was found to be right.
type address struct {
	dial  string // as gRPC has it
	https bool
	http  bool
	local bool // on this machine
}

// parseTarget refuses what gRPC would refuse at the first call only, or complete
// by guessing: addresses without a port, URLs with a path.
func parseTarget(target string) (address, error) {
	if target == "" {
		return address{}, fmt.Errorf("lockstitch: target is empty: write host:port, such as 127.0.0.1:%s", defaultPort)
	}
	if strings.ContainsFunc(target, func(char rune) bool { return unicode.IsSpace(char) || unicode.IsControl(char) }) {
		return address{}, fmt.Errorf("lockstitch: target %q holds a space or a control character", target)
	}
	scheme, rest, _ := strings.Cut(target, ":")
	switch {
	case scheme == "unix" || scheme == "unix-abstract":
		return address{dial: target, local: true}, checkSocket(target, scheme, rest)
	case strings.EqualFold(scheme, "http") && strings.HasPrefix(rest, "//"):
		return parseURL(target, rest, address{http: true})
	case strings.EqualFold(scheme, "https") && strings.HasPrefix(rest, "//"):
		return parseURL(target, rest, address{https: true})
	case scheme == "dns":
		return parseDNS(target, rest)
	case strings.HasPrefix(rest, "//"):
		if resolver.Get(scheme) == nil {
			return address{}, fmt.Errorf("lockstitch: target %q: there is no scheme %q: write host:port, dns:///host:port, "+
				"http://host:port, https://host:port or unix:/path", target, scheme)
		}
		return address{dial: target}, nil
	}
	return address{dial: target, local: isLoopback(target)}, checkHostPort(target, target)
}

func parseDNS(target, rest string) (address, error) {
	name := rest
	if strings.HasPrefix(rest, "//") {
		_, path, ok := strings.Cut(rest[2:], "/")
		if !ok {
			return address{}, fmt.Errorf("lockstitch: target %q has no name: write dns:///host:port", target)
		}
		name = path
	}
	return address{dial: target, local: isLoopback(name)}, checkHostPort(target, name)
}

func parseURL(target, rest string, parsed address) (address, error) {
	host := strings.TrimSuffix(rest[2:], "/")
	if strings.Contains(host, "@") {
		return address{}, fmt.Errorf("lockstitch: target holds a user name: write host:port, and use WithAPIKey")
	}
	if end := strings.IndexAny(host, "/?#"); end >= 0 {
		return address{}, fmt.Errorf("lockstitch: target %q has a path: write %s", target, withPort(host[:end]))
	}
	parsed.dial, parsed.local = host, isLoopback(host)
	return parsed, checkHostPort(target, host)
}

func checkSocket(target, scheme, rest string) error {
	path := rest
	if strings.HasPrefix(rest, "//") {
		path = rest[2:]
		if scheme == "unix" && !strings.HasPrefix(path, "/") {
			return fmt.Errorf("lockstitch: target %q: a path after unix:// begins with /: write unix:///path or unix:path", target)
		}
	}
	switch {
	case path == "":
		return fmt.Errorf("lockstitch: target %q has no path: write %s:/path", target, scheme)
	case len(path) > longestSocketPath:
		return fmt.Errorf("lockstitch: target %q: a socket's path has %d bytes at most, not %d", target, longestSocketPath, len(path))
	}
	return nil
}

func checkHostPort(target, hostPort string) error {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return fmt.Errorf("lockstitch: target %q has no port: write host:port, such as %s", target, withPort(hostPort))
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return fmt.Errorf("lockstitch: target %q: the port is a number from 1 to 65535, not %q", target, port)
	}
	if host == "" {
		return fmt.Errorf("lockstitch: target %q has no host: write host:port, such as 127.0.0.1:%s", target, port)
	}
	if strings.HasPrefix(hostPort, "[") {
		if address, err := netip.ParseAddr(host); err != nil || !address.Is6() {
			return fmt.Errorf("lockstitch: target %q: [%s] is not an IPv6 address", target, host)
		}
	} else if slices.ContainsFunc([]byte(host), isNoHostByte) {
		return fmt.Errorf("lockstitch: target %q: %q is not the name of a host", target, host)
	}
	return nil
}

// isNoHostByte says whether a byte cannot be in the name of a host. Those above
// ASCII belong to international names.
func isNoHostByte(char byte) bool {
	return strings.IndexByte("/?#@[]\\<>\"'`{}|^%,;!$&*+=()", char) >= 0
}

// withPort is the address that was probably meant.
func withPort(address string) string {
	if host, port, err := net.SplitHostPort(address); err == nil && host != "" && port != "" {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), defaultPort)
}

func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return false
	}
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || (err == nil && address.IsLoopback())
}
