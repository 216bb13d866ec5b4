;; A module with nothing in it still imports the tick and the counters.
(module)
