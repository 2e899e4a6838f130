package console

import "net/http"

var todayRoutes = []route{
	{"GET /{$}", viewers, today},
}

func today(v *visit) error {
	return v.page(http.StatusOK, "today", nil)
}
