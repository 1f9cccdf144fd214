module chaperone.test/load

go 1.26
