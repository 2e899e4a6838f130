package policy

import "testing"

// TestScheduleVersion: what is set together makes another version, and nothing else.
func TestScheduleVersion(t *testing.T) {
	made := func() Schedule {
		return Schedule{ID: 7, Name: "Bedtime", Windows: []Window{{Days: 3, From: 1200, To: 360}}}
	}
	was := made().Version()
	for _, tt := range []struct {
		name string
		do   func(*Schedule)
		same bool
	}{
		{"a copy", func(*Schedule) {}, true},
		{"another number", func(s *Schedule) { s.ID = 8 }, true},
		{"a day that is otherwise", func(s *Schedule) { s.Exceptions = []Exception{{Day: Date{2026, 12, 24}}} }, true},
		{"off", func(s *Schedule) { s.Off = true }, true},
		{"a name", func(s *Schedule) { s.Name = "Night" }, false},
		{"what it is about", func(s *Schedule) { s.What = Target{Kind: ForService, Service: "roblox"} }, false},
		{"an effect", func(s *Schedule) { s.Effect = Frees }, false},
		{"a minute", func(s *Schedule) { s.Windows[0].From++ }, false},
		{"a window more", func(s *Schedule) { s.Windows = append(s.Windows, Window{4, 600, 660}) }, false},
		{"holidays", func(s *Schedule) { s.Holidays = HolidaysAsSaturday }, false},
	} {
		s := made()
		tt.do(&s)
		if got := s.Version(); got == "" || (got == was) != tt.same {
			t.Errorf("%s: version %q, was %q", tt.name, got, was)
		}
	}
	if a, b := (Schedule{Name: "X"}).Version(), (Schedule{Name: "X", Windows: []Window{}}).Version(); a != b {
		t.Errorf("no windows are %q and %q", a, b)
	}
}
