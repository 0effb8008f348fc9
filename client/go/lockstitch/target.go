package lockstitch

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const defaultPort = "50051"

// urlSchemes are those that people write by habit, and that no target has.
var urlSchemes = []string{"http", "https", "grpc", "grpcs", "tcp", "ssl", "tls"}

// checkTarget refuses addresses that gRPC would complete by guessing: URLs, and
// addresses without a port.
func checkTarget(target string) error {
	if target == "" {
		return fmt.Errorf("lockstitch: target is empty: write host:port, such as 127.0.0.1:%s", defaultPort)
	}
	scheme, rest, isURL := strings.Cut(target, "://")
	if isURL && slices.Contains(urlSchemes, strings.ToLower(scheme)) {
		address, _, _ := strings.Cut(rest, "/")
		return fmt.Errorf("lockstitch: target %q is a URL: write host:port, such as %s (and WithTLS for TLS)", target, withPort(address))
	}
	if isUnix(target) || (isURL && scheme != "dns") {
		return nil
	}
	address := target[strings.LastIndex(target, "/")+1:]
	if !isURL {
		address = strings.TrimPrefix(target, "dns:")
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("lockstitch: target %q has no port: write host:port, such as %s", target, withPort(address))
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return fmt.Errorf("lockstitch: target %q: the port is a number from 1 to 65535, not %q", target, port)
	}
	if host == "" {
		return fmt.Errorf("lockstitch: target %q has no host: write host:port, such as 127.0.0.1:%s", target, port)
	}
	return nil
}

// withPort is the address that was probably meant.
func withPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), defaultPort)
}

func isUnix(target string) bool {
	return strings.HasPrefix(target, "unix:") || strings.HasPrefix(target, "unix-abstract:")
}

// isLocal says whether a target is on this machine.
func isLocal(target string) bool {
	if isUnix(target) {
		return true
	}
	if index := strings.LastIndex(target, "/"); index >= 0 { // "dns:///localhost:50051"
		target = target[index+1:]
	}
	host, _, err := net.SplitHostPort(target)
	if err != nil {
		host = strings.Trim(target, "[]")
	}
	address, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && address.IsLoopback())
}
