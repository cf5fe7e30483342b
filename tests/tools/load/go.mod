module solder/tests/tools/load

go 1.26.0
