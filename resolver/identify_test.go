package resolver

import (
	"net/netip"
	"testing"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"

	"kinward/policy"
)

// TestRFC8914_RefusesWhoBelongsToNobody: who is no family's gets no answer, says
// why, is counted, and leaves no trace in anybody's record.
func TestRFC8914_RefusesWhoBelongsToNobody(t *testing.T) {
	presets, err := policy.EmbeddedPresets()
	if err != nil {
		t.Fatal(err)
	}
	st := state(t)
	family := &policy.Family{
		ID: 1, Name: "Home", Profiles: []policy.Profile{{ID: 1, Name: "Everyone", Preset: policy.BandC}}, // no default
		Devices: []policy.Device{{ID: 2, Name: "Phone", Profile: 1, Networks: []netip.Prefix{netip.MustParsePrefix(adult + "/32")}}},
	}
	d, err := policy.NewDirectory(family, presets, st.Index, 1)
	if err != nil {
		t.Fatal(err)
	}
	noHome, err := d.WithHome(0)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		d        *policy.Directory
		from     string
		rcode    int
		ede      int
		recorded int
	}{
		// Over TCP: over UDP the answer must be no longer than the question.
		{"an unknown device of a family without a default", d, household, dns.RcodeRefused, 18, 0},
		{"a known one", d, adult, dns.RcodeNameError, 17, 1},
		{"nobody's", noHome, adult, dns.RcodeRefused, 18, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			log, reg := &kept{}, prometheus.NewRegistry()
			c := config(t, newFake(t))
			c.State = func() *policy.State { return &policy.State{Index: st.Index, Directory: tt.d} }
			c.Log, c.Registerer = log, reg
			got := askBy(t, start(t, c), "tcp", tt.from, msgFor("stranger.example.", dns.TypeA))
			if code, _ := ede(got); got.Rcode != tt.rcode || code != tt.ede {
				t.Errorf("%s, EDE %d; want %s, EDE %d", dns.RcodeToString[got.Rcode], code, dns.RcodeToString[tt.rcode], tt.ede)
			}
			if n := len(log.take()); n != tt.recorded {
				t.Errorf("%d attempts are recorded, want %d", n, tt.recorded)
			}
			if n := metric(t, reg, "kinward_queries_total", "outcome=refused"); n != float64(1-tt.recorded) {
				t.Errorf("%v questions are counted as refused", n)
			}
		})
	}
}
