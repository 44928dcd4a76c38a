"""Operations: preparing, connecting, running and comparing campaigns."""
