package resolver

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"kinward/blocklists"
)

func counterValue(c prometheus.Counter) float64 {
	var m dto.Metric
	c.Write(&m)
	return m.GetCounter().GetValue()
}

func TestReadName(t *testing.T) {
	h := strings.Repeat("\x00", headerLen)
	long := strings.Repeat("\x3f"+strings.Repeat("a", 63), 3)
	for _, tt := range []struct {
		name string
		msg  string // behind a header
		at   int    // behind the header
		want string // wire form; "!" is an error
		next int
	}{
		{"root", "\x00", 0, "", 1},
		{"lower case", "\x03WwW\x02De\x00", 0, "\x03www\x02de", 8},
		{"any byte, dots and escapes included", "\x04a.\\\xff\x00", 0, "\x04a.\\\xff", 6},
		{"a pointer", "\x02de\x00\x01A\xC0\x0C", 4, "\x01a\x02de", 8},
		{"a pointer to a pointer", "\x02de\x00\x01a\xC0\x0C\x01b\xC0\x10", 8, "\x01b\x01a\x02de", 12},
		{"254 bytes", long + "\x3d" + strings.Repeat("b", 61) + "\x00", 0, long + "\x3d" + strings.Repeat("b", 61), 255},
		{"255 bytes", long + "\x3e" + strings.Repeat("b", 62) + "\x00", 0, "!", 0},
		{"a pointer to itself", "\xC0\x0C", 0, "!", 0},
		{"a pointer forwards", "\xC0\x0E\x00", 0, "!", 0},
		{"a pointer into its own labels", "\x01a\x01b\xC0\x0E", 0, "!", 0},
		{"a pointer into the header", "\xC0\x03", 0, "!", 0},
		{"half a pointer", "\xC0", 0, "!", 0},
		{"no end", "\x01a", 0, "!", 0},
		{"a label cut off", "\x05ab", 0, "!", 0},
		{"reserved kinds of labels", "\x80\x00", 0, "!", 0},
		{"behind the end", "", 5, "!", 0},
	} {
		n, next, ok := readName([]byte(h+tt.msg), headerLen+tt.at)
		if want, good := tt.want, tt.want != "!"; ok != good || good && (n != blocklists.Name(want) || next != headerLen+tt.next) {
			t.Errorf("%s: %q, next %d, %v, want %q, next %d", tt.name, string(n), next-headerLen, ok, tt.want, tt.next)
		}
	}
}

// A chain of pointers costs no more than the message is long.
func TestReadNameLongChain(t *testing.T) {
	msg := []byte(strings.Repeat("\x00", headerLen) + "\x01a\x00")
	at := headerLen
	for i := 0; i < 5000; i++ {
		next := len(msg)
		msg = append(msg, 0xC0|byte(at>>8), byte(at))
		at = next
	}
	n, _, ok := readName(msg, at)
	if !ok || n != "\x01a" {
		t.Errorf("%q, %v", n, ok)
	}
}

func TestTargets(t *testing.T) {
	k := keyFor("a.example")
	for _, tt := range []struct {
		record string
		want   string
	}{
		{"a.example. 1 IN CNAME B.example.", "b.example"},
		{"a.example. 1 IN DNAME b.example.", "b.example"},
		{"a.example. 1 IN HTTPS 0 b.example.", "b.example"},
		{"a.example. 1 IN HTTPS 1 b.example. alpn=h2", "b.example"},
		{"a.example. 1 IN SVCB 2 b.example.", "b.example"},
		{"a.example. 1 IN HTTPS 1 . alpn=h2", ""},
		{"a.example. 1 IN MX 1 b.example.", ""},
		{"a.example. 1 IN A 192.0.2.1", ""},
		{"b.example. 1 IN A 192.0.2.1", "b.example"},
		{"example. 1 IN RRSIG DNAME 8 1 60 20300101000000 20200101000000 1 example. AAAA", ""},
	} {
		e := entryFor(t, k, newClock().now(), tt.record)
		got := ""
		for _, n := range e.leads {
			got += n.String()
		}
		if got != tt.want {
			t.Errorf("%s leads to %q, want %q", tt.record, got, tt.want)
		}
	}
}

// What is between two servers goes no further.
func TestHopByHopRecordsAreDropped(t *testing.T) {
	k := keyFor("a.example")
	m := new(dns.Msg).SetQuestion("a.example.", dns.TypeA)
	m.SetEdns0(1232, true)
	m.Extra = append(m.Extra,
		&dns.TSIG{Hdr: dns.RR_Header{Name: "k.", Rrtype: dns.TypeTSIG, Class: dns.ClassANY}, Algorithm: dns.HmacSHA256},
		&dns.A{Hdr: dns.RR_Header{Name: "b.example.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: []byte{192, 0, 2, 1}})
	e, err := newEntry(k, m, newClock().now())
	if err != nil {
		t.Fatal(err)
	}
	got := new(dns.Msg)
	if err := got.Unpack(e.wire); err != nil || len(got.Extra) != 1 || got.Extra[0].Header().Rrtype != dns.TypeA {
		t.Errorf("%v, %v", got, err)
	}
}
