"""PDF files for a court: PDF/A-3 with the messages themselves inside, typeset by typst (the extra ``archipec[report]``)."""
