package console

import (
	"net/http"
	"regexp"
	"strconv"
	"testing"
	"time"
	"unicode/utf8"
)

// The names of a week's days stand below their bars without touching.
func TestChartLabels(t *testing.T) {
	tick := regexp.MustCompile(`<text class="tick" x="([0-9.]+)" y="\d+" text-anchor="(\w+)">([^<]+)</text>`)
	for _, lang := range []string{"en", "de"} {
		desk := aHome()
		today := desk.replies["today"].(todayView)
		today.Spans, today.Profiles = nil, []todayProfile{{ID: 1, Name: "Tom", Incidents: 7, Bars: []int{1, 1, 1, 1, 1, 1, 1}}}
		for day := range 7 {
			today.Spans = append(today.Spans, evening.Add(time.Duration(day-7)*24*time.Hour))
		}
		desk.replies["today"] = today
		page := answer(t, desk, mother, lang, http.MethodGet, "/?span=week", nil).Body.String()
		end, labels := 0.0, tick.FindAllStringSubmatch(page, -1)
		for _, m := range labels {
			x, err := strconv.ParseFloat(m[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			wide := 7 * float64(utf8.RuneCountInString(m[3])) // of letters 11 high
			from := map[string]float64{"start": x, "middle": x - wide/2, "end": x - wide}[m[2]]
			if from < end || from < 0 || from+wide > chartWidth {
				t.Errorf("%s: %q begins at %.0f, after one that ends at %.0f", lang, m[3], from, end)
			}
			end = from + wide
		}
		if len(labels) != 7 {
			t.Errorf("%s: %d labels in\n%s", lang, len(labels), page)
		}
	}
}
