package lockstitch

import (
	"net"
	"net/netip"
	"strings"
)

// isLocal says whether a target is on this machine.
func isLocal(target string) bool {
	if strings.HasPrefix(target, "unix:") || strings.HasPrefix(target, "unix-abstract:") {
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
